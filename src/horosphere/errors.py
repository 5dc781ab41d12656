"""The one exception that means "the input is wrong": the command line prints it without a traceback."""


class InputError(ValueError):
    """Bad input. The message says what was given, what was expected and what to do."""
