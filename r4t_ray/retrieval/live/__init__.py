"""What changes while a server runs.

``tasks`` keeps up with the log of live changes, ``attributes`` is what filters read after them, and ``versions`` puts
another workspace in the place of the one that is served.
"""

from r4t_ray.retrieval.live.tasks import LiveTasks, Served, with_changes
from r4t_ray.retrieval.live.versions import Version, Versions

__all__ = ["LiveTasks", "Served", "Version", "Versions", "with_changes"]
