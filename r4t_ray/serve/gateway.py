"""The gateway deployment: validated HTTP in, an answer, a page or the state of health out.

`serve.ingress` copies the routes when the class is decorated, so every name that they use stands above it.
"""

from __future__ import annotations

from fastapi.responses import HTMLResponse, JSONResponse
from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.http import make_api
from r4t_ray.serve.page import PAGE_POLICY, read_page
from r4t_ray.serve.scatter import Handle, Scatter
from r4t_ray.serve.schema import MAX_BODY_BYTES, ErrorResponse, RetrieveRequest, RetrieveResponse
from r4t_ray.serve.served_task import load_tasks
from r4t_ray.types import Task

ERROR_STATUS = (400, 413, 422, 429, 500, 503, 504)

api = make_api("r4t_ray", MAX_BODY_BYTES)


@serve.deployment
@serve.ingress(api)
class Gateway:
    """HTTP over a `Scatter`.

    Args:
        args: The application's arguments, their workspace absolute.
        generator: Handle of the Generator deployment.
        shards: Task -> handles of its Shard deployments; empty lists when the index is searched in this process.
    """

    def __init__(self, args: AppArgs, generator: Handle, shards: dict[Task, list[Handle]]) -> None:
        tasks = load_tasks(Workspace(args.workspace), args, with_index=args.shards == "inline")
        self._default_task = args.default_task
        self._scatter = Scatter(args, tasks, generator, shards)

    @api.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page(self) -> HTMLResponse:
        """A page that asks and shows the sets, with no outside assets."""
        return HTMLResponse(read_page(), headers={"Content-Security-Policy": PAGE_POLICY})

    @api.get("/healthz")
    async def healthz(self) -> JSONResponse:
        """200 when the generator and every shard answer; else 503 or 504."""
        await self._scatter.check_ready()
        models = {task: served.model.model_dump() for task, served in self._scatter.tasks.items()}
        return JSONResponse({"status": "ok", "default_task": self._default_task, "tasks": models})

    @api.post("/v1/retrieve", responses={status: {"model": ErrorResponse} for status in ERROR_STATUS})
    async def retrieve(self, request: RetrieveRequest) -> RetrieveResponse:
        """Diverse directions for a broad query, each with its nearest items, and the union of those."""
        return await self._scatter.answer(request)
