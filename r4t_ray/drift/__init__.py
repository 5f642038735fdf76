"""Drift: whether the retrievers of a workspace still fit the current queries and the current catalogue."""

from r4t_ray.drift.settings import DriftConfig

__all__ = ["DriftConfig"]
