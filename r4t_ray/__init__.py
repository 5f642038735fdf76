"""r4t_ray: compile a set-level objective into a fast retriever (R4T, arXiv 2603.06397) on Ray."""

__version__ = "0.1.0"
