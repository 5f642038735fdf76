"""What the live changes add up to: for each changed id its newest entry, or that it was deleted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from r4t_ray.live.changes import Change
from r4t_ray.types import Array, LivePool


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A live entry: its id, its text in answers, what filters read (see ``Change``), and its unit embedding."""

    id: str
    text: str
    filters: str | tuple[str, ...]
    emb_D: Array


class LiveState:
    """The live entries of each pool.

    Attributes:
        generation: The generation under the changes.
        sequence: Number of the last change.
        pools: Pool -> id -> its newest entry, or None if it was deleted. An entry of the workspace that is not here is
            as it was.
    """

    def __init__(self, generation: int = 0, sequence: int = 0) -> None:
        self.generation, self.sequence = generation, sequence
        self.pools: dict[LivePool, dict[str, Entry | None]] = {"items": {}, "sets": {}}

    def apply(self, change: Change) -> None:
        """Add one change. A replaced entry moves to the end of its pool."""
        pool = self.pools[change.pool]
        for at, name in enumerate(change.ids):
            pool.pop(name, None)
            pool[name] = None
            if change.emb_MD is not None:
                own_D = change.emb_MD[at].copy()  # a row of the change would keep all its rows in memory
                pool[name] = Entry(id=name, text=change.texts[at], filters=change.filters[at], emb_D=own_D)
        self.sequence = change.sequence

    def entries(self, pool: LivePool) -> list[Entry]:
        """The entries of a pool that are not deleted."""
        return [entry for entry in self.pools[pool].values() if entry is not None]

    def forget_removed(self, pool: LivePool, known: Collection[str]) -> None:
        """Forget deleted ids that the workspace does not know: without live changes there is no such entry."""
        for name in self.removed(pool).difference(known):
            del self.pools[pool][name]

    def removed(self, pool: LivePool) -> set[str]:
        """The ids that were deleted."""
        return {name for name, entry in self.pools[pool].items() if entry is None}
