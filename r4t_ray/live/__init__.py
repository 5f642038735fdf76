"""Live changes of a served workspace: upserts and deletes that a write-ahead log makes durable.

``writer`` checks changes and appends them to the log, ``log`` writes and reads it, and ``state`` holds the newest entry
of each changed id. `retrieval.live` puts the state over the pools that are searched.
"""

from r4t_ray.live.changes import Change, LivePool
from r4t_ray.live.state import Entry, LiveState, Replay
from r4t_ray.live.writer import LiveWriter

__all__ = ["Change", "Entry", "LivePool", "LiveState", "LiveWriter", "Replay"]
