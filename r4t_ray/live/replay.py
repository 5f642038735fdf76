"""Reads the log of live changes into a state: the generation under the log, and the changes after it."""

from __future__ import annotations

from r4t_ray.artifacts import Workspace
from r4t_ray.live.generations import load_generation
from r4t_ray.live.log import LogReader, Start
from r4t_ray.live.state import LiveState


class Replay:
    """The state of a log, as far as it was read. ``start`` is where the log begins.

    Args:
        workspace: The workspace.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.reader, self.state, self.start = LogReader(workspace), LiveState(), Start()

    def update(self) -> bool:
        """Read the log on; returns whether the state changed. If it raises, the next call reads the whole log."""
        found = self.reader.read()
        if found.start is not None:
            try:
                self.state = self.load(found.start.generation)
            except BaseException:
                self.reader.rewind()
                raise
            self.start, self.state.sequence = found.start, found.start.sequence
        for change in found.changes:
            self.state.apply(change)
        return found.start is not None or bool(found.changes)

    def load(self, generation: int) -> LiveState:
        """The entries of a generation; raises ArtifactError if it cannot be used."""
        reader = self.reader
        return load_generation(reader.path.parent, generation, reader.parents, reader.dim)
