"""Tables of results for the terminal and for docs/; ``python -m benchmarks.tables`` writes the tables in docs/."""
