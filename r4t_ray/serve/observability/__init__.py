"""What an operator sees of a server: its metrics, their page for Prometheus, and the log of queries."""
