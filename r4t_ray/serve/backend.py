"""Retrieval over Serve's handles: the generator, and every index shard at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from r4t_ray.errors import DataError, RequestError
from r4t_ray.retrieval.compose import answer, fan_out
from r4t_ray.retrieval.generation import Generated, GenerationRequest, prepare
from r4t_ray.retrieval.live import Served, Version, Versions
from r4t_ray.retrieval.live.tasks import signature
from r4t_ray.retrieval.messages import SearchRequest
from r4t_ray.retrieval.open_task import OpenTask
from r4t_ray.retrieval.picking import Lookup, Searching
from r4t_ray.retrieval.request import DEFAULT_N, RetrieveRequest
from r4t_ray.retrieval.response import FanoutDirection, Item, RetrieveResponse
from r4t_ray.retrieval.retriever import choose_task, default_task, no_language_model
from r4t_ray.retrieval.timing import Clock, limit_of
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.language_model import Wish
from r4t_ray.serve.lookups import DeployedShards, Handle, Lookups, Models, ask
from r4t_ray.serve.observability.metrics import record_answer
from r4t_ray.serve.vectors import search_vectors
from r4t_ray.types import IndexName, Task

T = TypeVar("T")

HEALTH_DEADLINE_S = 5.0
BRIEF_ITEMS, BRIEF_ROWS = 128, 16_384
"""Most items, and most rows of the pool, of an answer that is brief. 100 items of 3,129 rows take 3 ms."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One request at work: the folder of its workspace, its task, its lookups and its clock."""

    request: RetrieveRequest
    root: str
    opened: OpenTask
    look_up: Lookups
    clock: Clock


class ServeBackend:
    """Answers requests through the deployments, each request within ``args.deadline_s``.

    Args:
        args: The application's arguments.
        versions: The workspace that is served, with the shards that this process searches. Without deployed shards it
            searches all. With deployed shards it searches only those of the entries of `r4t add` and of live changes.
        generator: The generator.
        language_model: Handle of the LanguageModel deployment. None refuses the method folm.
        deployed: Index -> handles of its Shard deployments; empty lists when this process searches the indexes.
        threads: Threads that search and compose answers. More of them than CPUs wait for each other.
    """

    def __init__(
        self,
        args: AppArgs,
        *,
        versions: Versions,
        generator: Models,
        deployed: Mapping[IndexName, list[Handle]],
        language_model: Handle | None = None,
        threads: int = 1,
    ) -> None:
        self._args, self._versions, self._generator, self._deployed = args, versions, generator, deployed
        self._language_model = language_model
        self._workers = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="answers")
        self._updating: asyncio.Task[None] | None = None

    async def served(self) -> tuple[Version, Served]:
        """What a request sees from its start to its end: every change that was acknowledged before."""
        for _ in range(2):  # the first update that is waited for may have begun before this request
            if self._is_current():
                break
            if self._updating is None or self._updating.done():
                self._updating = asyncio.create_task(asyncio.to_thread(self._update))
            await asyncio.shield(self._updating)
        version = self._versions.current
        return version, version.live.served

    def _is_current(self) -> bool:
        versions = self._versions
        return signature(versions.path) == versions.seen and versions.current.live.is_current()

    def _update(self) -> None:
        self._versions.update().live.update()

    def default_task(self, served: Served) -> Task:
        """The task of a request that names none."""
        return default_task(tuple(served.tasks), self._args)

    async def retrieve(self, request: RetrieveRequest, request_id: str | None = None) -> RetrieveResponse:
        """Answer a validated request, by the steps of ``retrieval.retriever.retrieve``.

        Raises:
            RequestError: A task, a ``k`` or a ``guidance`` that the workspace cannot serve.
            DataError: The encoder gives a text of the request a vector that is zero or not finite.
            TimeoutError: The deadline has passed.
            BackPressureError: A deployment's queue is full.
            MachineError: No shard answers.
        """
        clock = self._clock(request)
        async with asyncio.timeout(clock.left_s):
            job = self._job(request, clock, *await self.served())
            generated = await self._generate(job)
            return await self._finish(job, generated, request_id)

    async def fan_out(self, request: RetrieveRequest) -> tuple[OpenTask, list[FanoutDirection]]:
        """The task of a request, and its directions without items. Raises as ``retrieve``."""
        clock = self._clock(request)
        async with asyncio.timeout(clock.left_s):
            job = self._job(request, clock, *await self.served())
            generated = await self._generate(job)
            searching = fan_out(request, job.opened, generated)
            return job.opened, await self._run(searching, job, at_once=is_brief(request, job.opened))

    async def retrieve_all(
        self, requests: Mapping[int, RetrieveRequest], request_id: str
    ) -> dict[int, RetrieveResponse | BaseException]:
        """Answer validated requests in one pass of the models. Those of the language model take their own time.

        Args:
            requests: Position in the batch -> request.
            request_id: Id of the batch.

        Returns:
            Position -> answer, or what ``retrieve`` raises.
        """
        slow = {at: request for at, request in requests.items() if request.method == "folm"}
        together, alone = await asyncio.gather(
            self._retrieve_together({at: one for at, one in requests.items() if at not in slow}, request_id),
            settle({at: self.retrieve(request, f"{request_id}/{at}") for at, request in slow.items()}),
        )
        outcomes: dict[int, RetrieveResponse | BaseException] = together | alone
        return {at: outcomes[at] for at in requests}

    async def _retrieve_together(
        self, requests: Mapping[int, RetrieveRequest], request_id: str
    ) -> dict[int, RetrieveResponse | BaseException]:
        whole = Clock(self._args.deadline_s)
        async with asyncio.timeout(whole.left_s):
            version, served = await self.served()

        async def begin(request: RetrieveRequest) -> tuple[Job, GenerationRequest]:
            job = self._job(request, self._clock(request), version, served)
            async with asyncio.timeout(job.clock.left_s):
                return job, await self._prepare(job)

        async def end(job: Job, generated: Generated | DataError, own_id: str) -> RetrieveResponse:
            if isinstance(generated, DataError):
                raise generated
            job.clock.generated(generated.timings_ms)
            async with asyncio.timeout(job.clock.left_s):
                return await self._finish(job, generated, own_id)

        outcomes: dict[int, Any] = await settle({at: begin(request) for at, request in requests.items()})
        begun = {at: outcome for at, outcome in outcomes.items() if not isinstance(outcome, BaseException)}
        if begun:
            async with asyncio.timeout(whole.left_s):
                started = time.perf_counter()
                asked = [generation for _, generation in begun.values()]
                made = await ask(self._generator.generate_all, asked, version.root, clock=whole)
            for job, _ in begun.values():
                job.clock.add("wait", 1e3 * (time.perf_counter() - started))
            outcomes |= await settle(
                {at: end(begun[at][0], own, f"{request_id}/{at}") for at, own in zip(begun, made, strict=True)}
            )
        return outcomes

    async def search_vectors(self, request: SearchRequest) -> tuple[OpenTask, list[list[Item]]]:
        """The nearest items of each vector.

        Raises:
            RequestError: A vector of another width or of length 0, or a task or an attribute that is not there.
            TimeoutError, BackPressureError, MachineError: As ``retrieve``.
        """
        asked = RetrieveRequest(query="-", task=request.task)
        clock = self._clock(asked)
        async with asyncio.timeout(clock.left_s):
            job = self._job(asked, clock, *await self.served())
            return job.opened, await self._run(search_vectors(request, job.opened), job, at_once=False)

    def _clock(self, request: RetrieveRequest) -> Clock:
        return Clock(limit_of(request.timeout_ms, self._args.deadline_s))

    def _job(self, request: RetrieveRequest, clock: Clock, version: Version, served: Served) -> Job:
        shards = DeployedShards(self._deployed, version.rows, version.root)
        look_up = Lookups(shards, served.shards, allow_partial=request.allow_partial, clock=clock)
        opened = choose_task(served.tasks, request.task or self.default_task(served))
        return Job(request=request, root=version.root, opened=opened, look_up=look_up, clock=clock)

    async def _generate(self, job: Job) -> Generated:
        generation = await self._prepare(job)
        with job.clock.stage("wait"):
            generated: Generated = await ask(self._generator.generate, generation, job.root, clock=job.clock)
        job.clock.generated(generated.timings_ms)
        return generated

    async def _finish(self, job: Job, generated: Generated, request_id: str | None) -> RetrieveResponse:
        searching = answer(job.request, job.opened, generated)
        found = await self._run(searching, job, at_once=is_brief(job.request, job.opened))
        stamped = job.clock.stamp(found, job.look_up.counts, request_id)
        record_answer(job.request, stamped)
        return stamped

    async def _prepare(self, job: Job) -> GenerationRequest:
        request = job.request
        prepared = await self._run(prepare(request, job.opened), job, at_once=is_brief(request, job.opened))
        if request.method != "folm":
            return prepared
        if self._language_model is None:
            raise no_language_model("this server")
        wish = Wish.of(request, job.opened.task, job.root)
        with job.clock.stage("generate"):
            written = await ask(self._language_model.write, wish, clock=job.clock)
        if not written:
            raise RequestError(
                "method", "an answer of the language model without sub-queries", "a list of them", "try another seed"
            )
        return replace(prepared, sub_queries=written)

    async def _run(self, searching: Searching[T], job: Job, *, at_once: bool) -> T:
        """As ``picking.run``, with lookups of deployed shards that are awaited.

        The rest runs in a worker, or ``at_once`` if it is brief: then a change of threads would take longer.
        """
        loop, found = asyncio.get_running_loop(), None
        while True:
            if at_once:
                step = next_step(searching, found, job)
            else:
                step = await loop.run_in_executor(self._workers, next_step, searching, found, job)
            if isinstance(step, Finished):
                return step.result
            with job.clock.stage("search"):
                found = await job.look_up(*step)

    async def check_ready(self) -> None:
        """Return when the generator and every shard have answered; raises TimeoutError or the error of a deployment."""
        handles = [self._generator, *(handle for handles in self._deployed.values() for handle in handles)]
        async with asyncio.timeout(HEALTH_DEADLINE_S):
            await asyncio.gather(*(handle.ready.remote() for handle in handles))


def is_brief(request: RetrieveRequest, opened: OpenTask) -> bool:
    """Whether the steps of an answer take a few milliseconds: few items, no rule about them, and a small pool."""
    has_rules = request.filter or request.avoid or request.min_relevance or request.max_per or request.dedupe
    num_items = request.depth or request.k * (request.n or DEFAULT_N)
    return not has_rules and num_items <= BRIEF_ITEMS and len(opened.pool.ids) <= BRIEF_ROWS


async def settle(calls: Mapping[int, Awaitable[Any]]) -> dict[int, Any]:
    """The result of each call, or what it raises."""
    return dict(zip(calls, await asyncio.gather(*calls.values(), return_exceptions=True), strict=True))


class Finished(NamedTuple, Generic[T]):
    """The end of a generator of lookups, and what it returned."""

    result: T


def next_step(searching: Searching[T], found: Any, job: Job) -> tuple[IndexName, Lookup] | Finished[T]:
    """Send what the last lookup found to a generator of lookups, and answer those of indexes in this process.

    Returns:
        The next lookup of deployed shards, or the end.
    """
    try:
        name, lookup = next(searching) if found is None else searching.send(found)
        while job.look_up.is_here(name):
            name, lookup = searching.send(job.clock.timed("search", job.look_up.here)(name, lookup))
        return name, lookup
    except StopIteration as finished:
        return Finished(finished.value)
