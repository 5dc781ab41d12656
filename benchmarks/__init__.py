"""Side-by-side figures of speed and memory, each with one command: python -m benchmarks.<name>."""
