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
        self.generate.set_max_batch_size(args.max_batch_size)  # type: ignore[attr-defined]
        self.generate.set_batch_wait_timeout_s(args.batch_wait_s)  # type: ignore[attr-defined]

    @serve.batch
    async def generate(self, asks: list[Ask]) -> list[Array]:
        """One Ask in, its z_LD out; Serve gathers the calls into ``asks``."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._fan_out, asks)

    async def ready(self) -> bool:
        """True once the models are loaded: a replica answers calls only after its constructor."""
        return True
