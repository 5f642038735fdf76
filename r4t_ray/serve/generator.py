"""The generator deployment. It holds encoder and diffusion, so one remote call turns a query into directions."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import DataError
from r4t_ray.new_entries import embed_entries
from r4t_ray.retrieval.backend import DirectionGenerator
from r4t_ray.retrieval.generation import Generated, GenerationRequest
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.observability.metrics import record_cache
from r4t_ray.types import POOLS, Array, Task


@serve.deployment
class Generator:
    """Collects generation requests into batches and computes one batch at a time, off the event loop.

    Args:
        args: The application's arguments, their workspace absolute.
    """

    def __init__(self, args: AppArgs) -> None:
        device = "cuda" if args.generator.gpus else "cpu"
        self._directions = DirectionGenerator.load(Workspace(args.workspace), args, device, cpus=args.generator.cpus)
        self._hits, self._misses = 0, 0
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="generator")
        # The queue belongs to the instance. In the class body it would hold futures, which Ray cannot serialise.
        in_batches = serve.batch(max_batch_size=args.max_batch_size, batch_wait_timeout_s=args.batch_wait_s)
        self._batched = in_batches(self._compute)

    async def generate(self, request: GenerationRequest) -> Generated:
        """The query's embedding and its directions; other requests may share its batch.

        Raises:
            DataError: The encoder gives a text of this request a vector that is zero or not finite.
        """
        generated: Generated | DataError = await self._batched(request)
        if isinstance(generated, DataError):
            raise generated
        return generated

    async def generate_all(self, requests: list[GenerationRequest]) -> list[Generated | DataError]:
        """As ``generate`` for several requests in one pass; a request at fault has its error."""
        return await self._compute(requests)

    async def _compute(self, requests: list[GenerationRequest]) -> list[Generated | DataError]:
        outcomes = await asyncio.get_running_loop().run_in_executor(self._worker, self._outcomes, requests)
        hits, misses = self._directions.encoder.hits, self._directions.encoder.misses
        record_cache(hits - self._hits, misses - self._misses)
        self._hits, self._misses = hits, misses
        return outcomes

    def _outcomes(self, requests: list[GenerationRequest]) -> list[Generated | DataError]:
        """The outcome of each request. If the batch fails, each is computed alone: only the one at fault fails."""
        try:
            return [*self._directions(requests)]
        except DataError as error:
            if len(requests) == 1:
                return [error]
            return [outcome for request in requests for outcome in self._outcomes([request])]

    async def embed(self, texts: list[str], given_MD: Array | None, task: Task) -> Array:
        """Unit embeddings of new entries of a task's pool, from their texts or from the vectors that they bring along.

        Raises:
            DataError: The encoder gives a text a vector that is zero or not finite, or vectors are of another space.
        """
        given = {} if given_MD is None else {POOLS[task]: given_MD}
        embed = partial(embed_entries, self._directions.encoder, texts, given, task)
        return await asyncio.get_running_loop().run_in_executor(self._worker, embed)

    async def ready(self) -> bool:
        """True. A replica answers calls only after its constructor, which loads the models."""
        return True
