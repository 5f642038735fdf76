"""Measurements of speed and quality; ``python -m benchmarks.NAME`` prints tables and writes a result as JSON."""
