"""The gateway deployment: it validates HTTP requests and returns answers, the page and the health check.

`serve.ingress` copies the routes when the class is decorated, so every name that they use stands above it.
"""

from __future__ import annotations

from fastapi.responses import HTMLResponse, JSONResponse
from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.machine.threads import limit_threads
from r4t_ray.retrieval.loading import open_tasks, shard_rows
from r4t_ray.retrieval.request import MAX_BODY_BYTES, RetrieveRequest
from r4t_ray.retrieval.response import ErrorResponse, RetrieveResponse
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.backend import Handle, ServeBackend
from r4t_ray.serve.http import make_api
from r4t_ray.serve.page import PAGE_POLICY, read_page
from r4t_ray.types import IndexName

ERROR_STATUS = (400, 413, 422, 429, 500, 502, 503, 504)

api = make_api("r4t_ray", MAX_BODY_BYTES)


@serve.deployment
@serve.ingress(api)
class Gateway:
    """HTTP over a `ServeBackend`.

    Args:
        args: The application's arguments, their workspace absolute.
        generator: Handle of the Generator deployment.
        deployed: Index -> handles of its Shard deployments; empty lists when this process searches the indexes.
    """

    def __init__(self, args: AppArgs, generator: Handle, deployed: dict[IndexName, list[Handle]]) -> None:
        workspace = Workspace(args.workspace)
        tasks, shards = open_tasks(workspace, args, with_index=args.shards == "inline")
        rows = {name: shard_rows(workspace, name) if handles else [] for name, handles in deployed.items()}
        self._backend = ServeBackend(
            args, tasks=tasks, generator=generator, deployed=deployed, rows=rows, shards=shards
        )
        limit_threads(args.gateway.cpus)

    @api.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page(self) -> HTMLResponse:
        """A page with a form for queries. It loads nothing from other servers."""
        return HTMLResponse(read_page(tuple(self._backend.tasks)), headers={"Content-Security-Policy": PAGE_POLICY})

    @api.get("/healthz")
    async def healthz(self) -> JSONResponse:
        """200 if the generator and every shard answer, else 503 or 504."""
        await self._backend.check_ready()
        models = {task: opened.model.model_dump() for task, opened in self._backend.tasks.items()}
        return JSONResponse({"status": "ok", "default_task": self._backend.default_task, "tasks": models})

    @api.post("/v1/retrieve", responses={status: {"model": ErrorResponse} for status in ERROR_STATUS})
    async def retrieve(self, request: RetrieveRequest) -> RetrieveResponse:
        """Diverse directions for a broad query, each with its nearest items, and the union of the items."""
        return await self._backend.retrieve(request)
