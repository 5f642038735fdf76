"""The facts of one task that retrieval needs: its pool, the names of directions, and the models that answer."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from r4t_ray.decoder import QueryDecoder
from r4t_ray.retrieval.response import ModelInfo
from r4t_ray.types import Array, Mask, Task

if TYPE_CHECKING:
    from r4t_ray.retrieval.filtering.attributes import PoolAttributes


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Ids and texts of what a task retrieves, in the row order of the index; ``row_of`` maps an id to its row.

    Live changes add rows at the end. Rows of entries that they replaced or deleted stay, and no id leads to them.
    """

    ids: list[str]
    texts: list[str]
    row_of: dict[str, int] = field(init=False, repr=False)
    known: InitVar[dict[str, int] | None] = None
    before: Pool | None = field(default=None, repr=False)
    """The pool of which this one is the changed form."""

    def __post_init__(self, known: dict[str, int] | None) -> None:
        rows = {identifier: row for row, identifier in enumerate(self.ids)} if known is None else known
        object.__setattr__(self, "row_of", rows)

    @cached_property
    def text_codes_M(self) -> NDArray[np.int64]:
        """A number for each entry. Entries whose texts differ in case, width or white space alone share it.

        It is a hash of 64 bits, so a changed pool computes only those of its new rows. Of a million texts two share a
        number by chance in one process of 40 million.
        """
        known = np.zeros(0, np.int64) if self.before is None else self.before.text_codes_M
        return np.concatenate(
            [known, np.array([hash(normalised(text)) for text in self.texts[len(known) :]], np.int64)]
        )

    def changed(self, ids: Sequence[str], texts: Sequence[str], gone: Collection[str]) -> Pool:
        """The pool with rows at its end that replace entries with the same ids, and without the entries of ``gone``."""
        row_of = self.row_of | {name: row for row, name in enumerate(ids, len(self.ids))}
        for name in gone:
            row_of.pop(name, None)
        return Pool(ids=[*self.ids, *ids], texts=[*self.texts, *texts], known=row_of, before=self)


def normalised(text: str) -> str:
    """A text without differences of case, width and white space.

    >>> normalised(" Crème\u00a0 BRÛLÉE") == normalised("crème brûlée")
    True
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The most frequent sub-queries or entries in the training pairs, and their unit embeddings (N, D)."""

    texts: list[str]
    emb_ND: Array


@dataclass(frozen=True, kw_only=True)
class OpenTask:
    """One task, ready to answer.

    Attributes:
        task: Its name.
        pool: The items or collections that it retrieves.
        model: The artifacts and the sampler that answer.
        labels: Names for directions. None if the pairs stage kept no sub-queries.
        decoder: Scores the items. None for oar, whose items are scored by their cosine to a direction.
        dim: Width of the index.
        index_type: Its type.
        num_shards: Its shards, without the new entries of `r4t add`.
        mmr_lambda: Weight of relevance of the method mmr.
        attributes: What filters, caps and payloads read. With None every request for them is refused.
        alive_M: The rows that live changes have neither replaced nor deleted. None is all rows.
        generation: The generation of the live changes that it has.
        sequence: Number of the last of them.
        others: The pools of the other tasks that are served.
    """

    task: Task
    pool: Pool
    model: ModelInfo
    labels: Labels | None = None
    decoder: QueryDecoder | None = None
    dim: int = 0
    index_type: str = "flat"
    num_shards: int = 1
    mmr_lambda: float = 0.6
    attributes: PoolAttributes | None = None
    alive_M: Mask | None = None
    generation: int = 0
    sequence: int = 0
    others: Mapping[Task, Pool] = field(default_factory=dict, repr=False)

    def text_of(self, term: str) -> str:
        """The text of the entry with that id, in this pool or in another one. A term that is no id stays as it is."""
        held = next((pool for pool in (self.pool, *self.others.values()) if term in pool.row_of), None)
        return term if held is None else held.texts[held.row_of[term]]

    @property
    def size(self) -> int:
        """Entries that may be found."""
        return len(self.pool.ids) if self.alive_M is None else int(self.alive_M.sum())


def with_other_pools(tasks: Mapping[Task, OpenTask]) -> dict[Task, OpenTask]:
    """The tasks of one workspace, each with the pools of the others."""
    pools = {task: opened.pool for task, opened in tasks.items()}
    return {
        task: replace(opened, others={other: pool for other, pool in pools.items() if other != task})
        for task, opened in tasks.items()
    }
