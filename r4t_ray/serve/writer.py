"""The writer deployment: one replica makes live changes durable, one change at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Catalogue
from r4t_ray.errors import ArtifactError, ConfigError, MachineError, RequestError
from r4t_ray.live import LiveWriter, Replay
from r4t_ray.live.log import unwritable
from r4t_ray.live.writer import Activated, Written, activated
from r4t_ray.retrieval.live.versions import beside, serve_from, served_workspace, serving_path
from r4t_ray.retrieval.loading import served_indexes, served_tasks, shard_rows, verify
from r4t_ray.retrieval.retriever import default_task
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.language_model import trained_models
from r4t_ray.serve.lookups import Handle
from r4t_ray.serve.shard import shard_name
from r4t_ray.types import Array, IndexName, LivePool, Task

T = TypeVar("T")


def servable_tasks(workspace: Workspace, args: AppArgs) -> tuple[Task, ...]:
    """The tasks of a workspace whose files and live changes are verified. Raises ArtifactError or ConfigError."""
    verify(workspace)
    Replay(workspace).update()
    tasks = served_tasks(workspace)
    default_task(tasks, args)
    return tasks


def fitting(first: Workspace, name: str, args: AppArgs, num_shards: dict[IndexName, int]) -> Workspace:
    """The workspace of that name, if this application can serve it; else raises RequestError."""
    target = beside(first, name)
    try:
        indexes = served_indexes(servable_tasks(target, args))
        if args.language_model:
            trained_models(target)
            if args.language_model.gpus:
                raise ConfigError(
                    "serve.language_model",
                    f"gpus: {args.language_model.gpus:g}, so that the engines of two workspaces do not fit",
                    "a language model on CPUs, or none",
                    "start another server",
                )
        found = {index: len(shard_rows(target, index)) for index in indexes} if num_shards else {}
    except (ArtifactError, ConfigError) as error:
        raise RequestError("workspace", f"{error.where}: {error.got}"[:1000], error.expected, error.fix) from None
    for index, number in found.items():
        if number != num_shards.get(index, 0):
            got, expected = f"{number} shards of the index {index}", f"{num_shards.get(index, 0)}, which are deployed"
            raise RequestError("workspace", got, expected, "build the index with as many, or deploy the workspace")
    return target


@serve.deployment
class Writer:
    """Writes changes in their order.

    The log is opened by the first change, so a workspace that is never changed needs no disk that can be written.

    Args:
        args: The application's arguments, their workspace absolute.
        models: Handles of the deployments of models, which hold a workspace too.
        num_shards: Index -> number of its Shard deployments; empty if the gateways search the indexes.
    """

    def __init__(self, args: AppArgs, models: list[Handle], num_shards: dict[IndexName, int]) -> None:
        self._args, self._models, self._num_shards = args, models, num_shards
        self._first = Workspace(args.workspace)
        self._workspace = served_workspace(self._first)
        self._swapping, self._tidying = asyncio.Lock(), set[asyncio.Task[None]]()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._live: LiveWriter | None = None

    async def upsert(self, pool: LivePool, new: Catalogue, emb_MD: Array, root: str) -> Written:
        """Add entries, or replace those with their ids.

        Args:
            pool: "items" or "sets".
            new: The entries.
            emb_MD: Their unit embeddings.
            root: The folder of the workspace whose encoder made the embeddings.

        Raises:
            RequestError: An entry cannot be used; ``where`` is its place.
            MachineError, ArtifactError: The log cannot be written.
        """
        return await self._in_turn(lambda live: live.upsert(pool, new, emb_MD), root)

    async def delete(self, pool: LivePool, ids: Sequence[str]) -> Written:
        """Delete entries. Raises RequestError, MachineError or ArtifactError."""
        return await self._in_turn(lambda live: live.delete(pool, ids))

    async def snapshot(self) -> Activated:
        """Write the live entries as a new generation. Raises MachineError or ArtifactError."""
        return await self._in_turn(lambda live: live.snapshot())

    async def activate(self, generation: int) -> Activated:
        """Serve another generation. Raises RequestError, MachineError or ArtifactError."""
        return await self._in_turn(lambda live: live.activate(generation))

    async def serve_from(self, name: str) -> Activated:
        """Serve the workspace of that name, which lies beside the one with which the server started.

        Every replica loads it before the first request sees it. Then the workspace before is forgotten.

        Raises:
            RequestError: There is no such workspace, its artifacts do not belong together, or it does not fit the
                deployments. What is served stays.
            MachineError: A replica cannot load it, or the disk refuses. What is served stays.
        """
        async with self._swapping:
            target = await asyncio.to_thread(fitting, self._first, name, self._args, self._num_shards)
            try:
                await self._tell("prepare", target)
                activated = await asyncio.get_running_loop().run_in_executor(self._thread, self._switch, target)
            except BaseException:
                await self._tell("release", self._workspace)
                raise
            tidying = asyncio.create_task(self._tidy(target))
            self._tidying.add(tidying)
            tidying.add_done_callback(self._tidying.discard)
            return activated

    async def _tell(self, method: str, target: Workspace) -> None:
        """Call a method of every replica that holds a workspace. Raises MachineError."""
        names = [shard_name(index, number) for index, most in self._num_shards.items() for number in range(most)]
        handles = [*map(serve.get_deployment_handle, ("Gateway", *names)), *self._models]
        calls = [handle.broadcast(method, str(target.root)).results_async() for handle in handles]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        faults = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if faults:
            got = f"a replica that failed to {method} it: {getattr(faults[0], 'cause', faults[0])}"
            raise MachineError(f"workspace {target.root.name}", got[:1000], "replicas that answer", "try again")

    async def _tidy(self, target: Workspace) -> None:
        """Have other workspaces forgotten when the last request that began before has ended."""
        await asyncio.sleep(self._args.deadline_s)
        if target.root == self._workspace.root:
            await self._tell("release", target)

    def _switch(self, target: Workspace) -> Activated:
        replay = Replay(target)
        replay.update()
        self.close()
        try:
            serve_from(self._first, target)
        except OSError as error:
            raise unwritable(serving_path(self._first), error) from None
        self._workspace = target
        return activated(replay, None)

    def close(self) -> None:
        """Let another process write."""
        if self._live is not None:
            self._live.close()
        self._live = None

    async def _in_turn(self, change: Callable[[LiveWriter], T], made_for: str | None = None) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._changed, change, made_for)

    def _changed(self, change: Callable[[LiveWriter], T], made_for: str | None) -> T:
        if made_for and Path(made_for) != self._workspace.root:
            got, now = f"embeddings of the workspace {Path(made_for).name}", self._workspace.root.name
            raise MachineError("records", got, f"embeddings of {now}, which is served now", "try again")
        if self._live is None:
            self._live = LiveWriter(self._workspace)
        try:
            return change(self._live)
        except RequestError:
            raise
        except BaseException:  # The log may hold more than the writer knows. The next change reads it again.
            self.close()
            raise
