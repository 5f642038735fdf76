"""The lookups of one request over Serve's handles: every deployed shard and every shard of this process at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from r4t_ray.errors import MachineError
from r4t_ray.index import Shard, joined_vectors, look_up, merge_topk, search_shards
from r4t_ray.retrieval.picking import Lookup
from r4t_ray.retrieval.response import Shards
from r4t_ray.retrieval.timing import Clock
from r4t_ray.serve.shard import packed
from r4t_ray.types import Fetch, IndexName, Rows

Handle = DeploymentHandle[Any]
FAULTS = (RayActorError, BackPressureError, DeploymentUnavailableError, OSError, TimeoutError)
"""Faults of a shard that a partial answer survives."""

_logger = logging.getLogger(__name__)


class Here:
    """The form of a handle over an object of this process: ``Here(x).name.remote(...)`` awaits ``x.name(...)``."""

    def __init__(self, held: Any) -> None:
        self._held = held

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=getattr(self._held, name))


Models = Handle | Here
"""The generator, in a deployment or in this process."""


async def ask(method: Any, *args: Any, clock: Clock) -> Any:
    """The reply of a replica. If the replica dies meanwhile, another one is asked, for at most half of the time left.

    For reads only: what a replica did before it died is done a second time.

    Args:
        method: A method of a deployment's handle.
        *args: Its arguments.
        clock: Knows the time that is left.

    Raises:
        RayActorError: The second replica dies too, or does not answer in time.
    """
    try:
        return await method.remote(*args)
    except RayActorError as error:
        left_s = clock.left_s
        try:
            async with asyncio.timeout(None if left_s is None else left_s / 2):
                return await method.remote(*args)
        except TimeoutError:
            raise error from None


class DeployedShards(NamedTuple):
    """The shard deployments of one workspace.

    Attributes:
        handles: Index -> handles of its Shard deployments.
        rows: Index -> first pool row of each of them, and the row after its last.
        root: The folder of the workspace.
    """

    handles: Mapping[IndexName, list[Handle]]
    rows: Mapping[IndexName, list[tuple[int, int]]]
    root: str


class Lookups:
    """Looks things up for one request.

    A request that allows partial answers waits for a shard at most half of the time that is left, and does not ask it
    again after a fault.

    Args:
        deployed: The shards that other processes search.
        shards: Index -> the shards of this process.
        allow_partial: Whether to go on without a shard that fails.
        clock: Knows the time that is left.
    """

    def __init__(
        self,
        deployed: DeployedShards,
        shards: Mapping[IndexName, tuple[Shard, ...]],
        *,
        allow_partial: bool,
        clock: Clock,
    ) -> None:
        self._deployed, self._shards = deployed, shards
        self._allow_partial, self._clock = allow_partial, clock
        self._asked: set[tuple[IndexName, int]] = set()
        self._failed: set[tuple[IndexName, int]] = set()

    @property
    def counts(self) -> Shards:
        """The shards that were asked and those that always answered. The shards of this process count as one."""
        return Shards(ok=len(self._asked) - len(self._failed), total=len(self._asked))

    async def __call__(self, name: IndexName, lookup: Lookup) -> Any:
        """Scores and pool rows of each direction's hits, or embeddings.

        A mask of the pool costs one bit for each row of a shard: 125 KB for a million rows, over all shards.
        """
        calls = {number: self._call(name, number, lookup) for number in self._open_shards(name, lookup)}
        if self._shards[name]:
            calls[-1] = asyncio.to_thread(_look_up_here, self._shards[name], lookup)
        self._asked |= {(name, number) for number in calls}
        found = await self._answers(name, calls)
        if not found:
            raise MachineError(f"index {name}", "no shard that answers", "one or more", "try again")
        if isinstance(lookup, Fetch):
            return joined_vectors(lookup.rows, found)
        return merge_topk([scores_LK for scores_LK, _ in found], [rows_LK for _, rows_LK in found], lookup.num_hits)

    def is_here(self, name: IndexName) -> bool:
        """Whether this process has all shards of an index."""
        return not self._deployed.handles.get(name)

    def here(self, name: IndexName, lookup: Lookup) -> Any:
        """As a call, without waiting, for an index that is here."""
        self._asked.add((name, -1))
        return look_up(self._shards[name], lookup)

    def _open_shards(self, name: IndexName, lookup: Lookup) -> list[int]:
        """The deployed shards without a fault that have something to find."""
        numbers = [number for number in range(len(self._deployed.handles[name])) if (name, number) not in self._failed]
        if isinstance(lookup, Fetch):
            return [number for number in numbers if len(self._own_rows(name, number, lookup))]
        return numbers

    def _own_rows(self, name: IndexName, number: int, lookup: Fetch) -> Rows:
        first, stop = self._deployed.rows[name][number]
        return lookup.rows[(lookup.rows >= first) & (lookup.rows < stop)]

    async def _call(self, name: IndexName, number: int, lookup: Lookup) -> Any:
        handle, root = self._deployed.handles[name][number], self._deployed.root
        if isinstance(lookup, Fetch):
            return await ask(handle.vectors, self._own_rows(name, number, lookup), root, clock=self._clock)
        return await ask(handle.search, *packed(lookup, *self._deployed.rows[name][number]), root, clock=self._clock)

    async def _answers(self, name: IndexName, calls: Mapping[int, Awaitable[Any]]) -> list[Any]:
        """The answers of the shards; only of those without a fault if partial answers are allowed."""
        if not self._allow_partial:
            return list(await asyncio.gather(*calls.values()))
        left_s = self._clock.left_s
        bounded = [asyncio.wait_for(call, None if left_s is None else left_s / 2) for call in calls.values()]
        outcomes = await asyncio.gather(*bounded, return_exceptions=True)
        found = []
        for number, outcome in zip(calls, outcomes, strict=True):
            if isinstance(outcome, FAULTS):
                _logger.warning("index %s, shard %d: %s", name, number, type(outcome).__name__)
                self._failed.add((name, number))
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                found.append(outcome)
        return found


def _look_up_here(shards: tuple[Shard, ...], lookup: Lookup) -> Any:
    if isinstance(lookup, Fetch):
        held, vectors = zip(*(shard.vectors(lookup.rows) for shard in shards), strict=True)
        return np.concatenate(held), np.concatenate(vectors)
    return search_shards(shards, lookup)
