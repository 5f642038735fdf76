"""The generator: it holds encoder and diffusion, in a deployment of its own or in the process of a gateway."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial
from typing import Any, Generic, TypeVar

from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Catalogue, given_entries
from r4t_ray.errors import DataError, MachineError, R4TError, RequestError
from r4t_ray.live.writer import KEYS
from r4t_ray.new_entries import embed_entries, entries_of_pool
from r4t_ray.retrieval.backend import DirectionGenerator, outcomes_of
from r4t_ray.retrieval.generation import Generated, GenerationRequest
from r4t_ray.retrieval.live import Version
from r4t_ray.retrieval.live.versions import Loaded, served_workspace
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.lookups import FAULTS, Models
from r4t_ray.serve.observability.metrics import record_cache
from r4t_ray.types import POOLS, Array, LivePool, Task

T = TypeVar("T")
Given = TypeVar("Given")
Result = TypeVar("Result")


class Batches(Generic[Given, Result]):
    """Computes calls in batches, one batch at a time, in the order in which the calls came.

    While one batch is computed, the next one collects what comes. `serve.batch` takes its requests out of the queue
    before the last batch has ended; without a time to wait, each of its batches has one request.

    Args:
        compute: The results of a batch, in its order.
        most: Most calls of a batch.
    """

    def __init__(self, compute: Callable[[list[Given]], Awaitable[list[Result]]], most: int) -> None:
        self._compute, self._most = compute, most
        self._waiting: deque[tuple[Given, asyncio.Future[Result]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, given: Given) -> Result:
        """The result of one call. A caller that is cancelled before its batch begins is left out of it.

        Raises:
            Exception: What ``compute`` raises for the batch.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((given, future))
        if self._running is None or self._running.done():
            # A batch belongs to several requests, so it runs in the context of none.
            self._running = asyncio.create_task(self._run(), context=Context())
        return await future

    async def _run(self) -> None:
        """Compute batches until no call waits."""
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            if batch := [(given, future) for given, future in taken if not future.done()]:
                await self._settle(batch)

    async def _settle(self, batch: list[tuple[Given, asyncio.Future[Result]]]) -> None:
        """Give each call of a batch its result."""
        try:
            results = await self._compute([given for given, _ in batch])
            settled = [(future, result) for (_, future), result in zip(batch, results, strict=True)]
        except Exception as error:  # every caller raises it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for future, result in settled:
            if not future.done():
                future.set_result(result)


@serve.deployment
class Generator:
    """Collects generation requests into batches and computes one batch at a time, off the event loop.

    Args:
        args: The application's arguments, their workspace absolute.
    """

    def __init__(self, args: AppArgs) -> None:
        device = "cuda" if args.generator.gpus else "cpu"
        self._loaded = Loaded(
            lambda workspace: DirectionGenerator.load(workspace, args, device, cpus=args.generator.cpus)
        )
        self._loaded[str(served_workspace(Workspace(args.workspace)).root)]
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="generator")
        self._batches = Batches(self._compute, args.max_batch_size)

    async def prepare(self, root: str) -> None:
        """Load the models of another workspace beside these. Raises ArtifactError."""
        await asyncio.to_thread(self._loaded.__getitem__, root)

    async def release(self, root: str) -> None:
        """Forget the models of other workspaces."""
        self._loaded.keep(root)

    async def generate(self, request: GenerationRequest, root: str) -> Generated:
        """The query's embedding and its directions; other requests may share its batch.

        Args:
            request: The request.
            root: The folder of the workspace that it sees.

        Raises:
            DataError: The encoder gives a text of this request a vector that is zero or not finite.
        """
        generated: Generated | DataError = await self._batches((request, root))
        if isinstance(generated, DataError):
            raise generated
        return generated

    async def generate_all(self, requests: list[GenerationRequest], root: str) -> list[Generated | DataError]:
        """As ``generate`` for several requests in one pass; a request at fault has its error."""
        return await self._compute([(request, root) for request in requests])

    async def _compute(self, asked: list[tuple[GenerationRequest, str]]) -> list[Generated | DataError]:
        outcomes: dict[int, Generated | DataError] = {}
        for root in {root: None for _, root in asked}:
            positions = [at for at, (_, own) in enumerate(asked) if own == root]
            requests = [asked[at][0] for at in positions]
            found, hits, misses = await self._in_turn(partial(self._counted, requests, root))
            record_cache(hits, misses)
            outcomes |= dict(zip(positions, found, strict=True))
        return [outcomes[at] for at in range(len(asked))]

    async def _in_turn(self, call: Callable[[], T]) -> T:
        """What a call returns. One call runs at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, call)

    def _counted(self, requests: list[GenerationRequest], root: str) -> tuple[list[Generated | DataError], int, int]:
        """The outcomes, and how many texts were in the encoder's cache and how many were not."""
        directions = self._loaded[root]
        hits, misses = directions.encoder.hits, directions.encoder.misses
        outcomes = outcomes_of(directions, requests)
        return outcomes, directions.encoder.hits - hits, directions.encoder.misses - misses

    async def embed(self, texts: list[str], given_MD: Array | None, task: Task, root: str) -> Array:
        """Unit embeddings of new entries of a task's pool, from their texts or from the vectors that they bring along.

        Raises:
            DataError: The encoder gives a text a vector that is zero or not finite, or vectors are of another space.
        """
        given = {} if given_MD is None else {POOLS[task]: given_MD}
        return await self._in_turn(lambda: embed_entries(self._loaded[root].encoder, texts, given, task))

    async def ready(self) -> bool:
        """True. A replica answers calls only after its constructor, which loads the models."""
        return True


def models_of(args: AppArgs) -> Any:
    """A generator in this process, with the CPUs and GPUs of a gateway."""
    deployment: Any = Generator
    return deployment.func_or_class(args.model_copy(update={"generator": args.gateway}))


async def embedded(
    pool: LivePool, records: Sequence[dict[str, Any]], version: Version, generator: Models
) -> tuple[Catalogue, Array]:
    """The records of an upsert to a workspace, and their embeddings, in the same order.

    Raises:
        RequestError: A record cannot be used; ``where`` is its place.
        DataError: The encoder gives a text a vector that is zero or not finite.
        MachineError: The generator is down.
    """
    try:
        new, given = await asyncio.to_thread(given_entries, pool, records, version.embedding_field)
    except DataError as error:
        raise RequestError(*error.args) from None
    task, _ = KEYS[pool]
    try:
        texts = entries_of_pool(new, task)[1]
        emb_MD: Array = await generator.embed.remote(texts, given.get(pool), task, version.root)
    except R4TError as error:
        cause = getattr(error, "cause", error)  # Ray wraps what a replica raised
        if pool in given and isinstance(cause, DataError):
            raise RequestError("records", *cause.args[1:]) from None
        raise type(cause)(*cause.args) from None
    except FAULTS as error:
        got = f"no embeddings ({type(error).__name__})"
        raise MachineError("the generator", got, "a replica that answers", "try again") from None
    return new, emb_MD
