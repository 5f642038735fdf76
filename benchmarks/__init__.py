"""Measurements that no test asserts; ``python -m benchmarks.NAME`` prints tables and writes a result as JSON."""
