"""The generator deployment: encoder and diffusion together, so that a query crosses one hop to become directions."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.fan_out import Ask, FanOut
from r4t_ray.types import Array


@serve.deployment
class Generator:
    """Batches asks and computes off the event loop, one batch at a time.

    Args:
        args: The application's arguments, their workspace absolute.
    """

    def __init__(self, args: AppArgs) -> None:
        self._fan_out = FanOut.load(Workspace(args.workspace), args)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fan-out")
        # A queue of this instance: one made in the class body would hold futures that keep the class from being sent.
        in_batches = serve.batch(max_batch_size=args.max_batch_size, batch_wait_timeout_s=args.batch_wait_s)
        self._batched = in_batches(self._compute)

    async def generate(self, ask: Ask) -> Array:
        """z_LD of one ask; it may share its pass with others."""
        z_LD: Array = await self._batched(ask)
        return z_LD

    async def _compute(self, asks: list[Ask]) -> list[Array]:
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._fan_out, asks)

    async def ready(self) -> bool:
        """True once the models are loaded: a replica answers calls only after its constructor."""
        return True
