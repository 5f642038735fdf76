"""Drift of a workspace: do its retrievers still fit the queries and the catalogue of today?"""

from r4t_ray.drift.settings import DriftConfig

__all__ = ["DriftConfig"]
