"""Live changes over the pools: ``tasks`` keeps up with the log, ``attributes`` is what filters read after them."""

from r4t_ray.retrieval.live.tasks import LiveTasks, Served, with_changes

__all__ = ["LiveTasks", "Served", "with_changes"]
