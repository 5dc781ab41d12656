"""Horosphere: metric learning in mixed geometry."""
