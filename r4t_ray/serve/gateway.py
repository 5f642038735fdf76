"""The gateway deployment: HTTP in, generator, search of every shard at once, merge, HTTP out."""

from __future__ import annotations

import asyncio
from functools import cache
from importlib import resources
from typing import Any

from fastapi.responses import HTMLResponse, JSONResponse
from ray import serve
from ray.serve.handle import DeploymentHandle

from r4t_ray.artifacts import Workspace
from r4t_ray.index import merge_topk
from r4t_ray.serve.answer import check_k
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.fan_out import Ask
from r4t_ray.serve.http import make_api
from r4t_ray.serve.schema import MAX_BODY_BYTES, ErrorResponse, RetrieveRequest, RetrieveResponse
from r4t_ray.serve.served_task import choose_task, load_tasks
from r4t_ray.types import Array, Rows, Task

HEALTH_DEADLINE_S = 5.0
ERROR_STATUS = (400, 413, 422, 429, 500, 503, 504)

Handle = DeploymentHandle[Any]

api = make_api("r4t_ray", MAX_BODY_BYTES)


@serve.deployment
@serve.ingress(api)
class Gateway:
    """Validates, scatters, merges, and answers within its own deadline.

    Args:
        args: The application's arguments, their workspace absolute.
        generator: Handle of the Generator deployment.
        shards: Task -> handles of its Shard deployments; empty lists when the index is searched in this process.
    """

    def __init__(
        self, args: AppArgs, generator: DeploymentHandle[Any], shards: dict[Task, list[DeploymentHandle[Any]]]
    ) -> None:
        self._args, self._generator, self._shards = args, generator, shards
        self._tasks = load_tasks(Workspace(args.workspace), args, with_index=args.shards == "inline")

    @api.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page(self) -> HTMLResponse:
        """A page that asks and shows the sets, with no outside assets."""
        policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
        return HTMLResponse(read_page(), headers={"Content-Security-Policy": policy})

    @api.get("/healthz")
    async def healthz(self) -> JSONResponse:
        """200 when the generator and every shard answer; else 503 or 504."""
        async with asyncio.timeout(HEALTH_DEADLINE_S):
            handles = [self._generator, *(shard for shards in self._shards.values() for shard in shards)]
            await asyncio.gather(*(handle.ready.remote() for handle in handles))
        models = {task: served.model.model_dump() for task, served in self._tasks.items()}
        return JSONResponse({"status": "ok", "default_task": self._args.default_task, "tasks": models})

    @api.post("/v1/retrieve", responses={status: {"model": ErrorResponse} for status in ERROR_STATUS})
    async def retrieve(self, request: RetrieveRequest) -> RetrieveResponse:
        """Diverse directions for a broad query, each with its nearest items, and the union of those."""
        task = request.task or self._args.default_task
        served = choose_task(self._tasks, task)
        check_k(request.k, served.model.num_rows)
        async with asyncio.timeout(self._args.deadline_s):
            z_LD = await self._generator.generate.remote(Ask(task, request.query, request.seed))
            scores_LK, rows_LK = await self._search(task, z_LD, request.n)
            return await asyncio.to_thread(served.compose, request, z_LD, scores_LK, rows_LK)

    async def _search(self, task: Task, z_LD: Array, n: int) -> tuple[Array, Rows]:
        shards = self._shards[task]
        if not shards:
            return await asyncio.to_thread(self._tasks[task].search, z_LD, n)
        hits: list[Any] = await asyncio.gather(*(shard.search.remote(z_LD, n) for shard in shards))
        return merge_topk([scores_LK for scores_LK, _ in hits], [rows_LK for _, rows_LK in hits], n)


@cache
def read_page() -> str:
    """The HTML of ``/``, shipped beside this module."""
    return resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
