"""Live changes of a served workspace: upserts and deletes that a write-ahead log makes durable.

``writer`` checks changes and appends them to the log, ``log`` writes and reads it, ``state`` holds the newest entry of
each changed id, and ``generations`` are snapshots of it. `retrieval.live` puts the state over the pools.
"""

from r4t_ray.live.changes import Change
from r4t_ray.live.replay import Replay
from r4t_ray.live.state import Entry, LiveState
from r4t_ray.live.writer import LiveWriter

__all__ = ["Change", "Entry", "LiveState", "LiveWriter", "Replay"]
