"""The generator deployment. It holds encoder and diffusion, so one remote call turns a query into directions."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.retrieval.backend import DirectionGenerator
from r4t_ray.retrieval.request import GenerationRequest
from r4t_ray.serve.args import AppArgs
from r4t_ray.types import Array


@serve.deployment
class Generator:
    """Collects generation requests into batches and computes one batch at a time, off the event loop.

    Args:
        args: The application's arguments, their workspace absolute.
    """

    def __init__(self, args: AppArgs) -> None:
        device = "cuda" if args.generator.gpus else "cpu"
        self._directions = DirectionGenerator.load(Workspace(args.workspace), args, device)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="generator")
        # The queue belongs to the instance. In the class body it would hold futures, which Ray cannot serialise.
        in_batches = serve.batch(max_batch_size=args.max_batch_size, batch_wait_timeout_s=args.batch_wait_s)
        self._batched = in_batches(self._compute)

    async def generate(self, request: GenerationRequest) -> Array:
        """The directions z_LD of one request; other requests may share its batch."""
        z_LD: Array = await self._batched(request)
        return z_LD

    async def _compute(self, requests: list[GenerationRequest]) -> list[Array]:
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._directions, requests)

    async def ready(self) -> bool:
        """True. A replica answers calls only after its constructor, which loads the models."""
        return True
