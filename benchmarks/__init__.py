"""Measurements that no test asserts; ``python -m benchmarks.NAME`` prints a table and writes its rows as JSON."""
