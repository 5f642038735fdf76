"""The gateway deployment: it validates HTTP requests and returns answers, the page and the health check.

`serve.ingress` copies the routes when the class is decorated, so every name that they use stands above it.
"""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import ValidationError
from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.machine.threads import limit_threads
from r4t_ray.retrieval.loading import open_tasks, shard_rows
from r4t_ray.retrieval.open_task import OpenTask
from r4t_ray.retrieval.request import MAX_BODY_BYTES, RetrieveRequest, request_fault
from r4t_ray.retrieval.response import ErrorResponse, RetrieveResponse
from r4t_ray.retrieval.retriever import choose_task
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.backend import ServeBackend
from r4t_ray.serve.http import fault_of, make_api
from r4t_ray.serve.keys import Key
from r4t_ray.serve.lookups import Handle
from r4t_ray.serve.messages import (
    BatchEntry,
    BatchRequest,
    BatchResponse,
    FanoutResponse,
    IndexResponse,
    ItemResponse,
    PoolInfo,
    SearchRequest,
    SearchResponse,
)
from r4t_ray.serve.page import PAGE_POLICY, read_page
from r4t_ray.types import IndexName, Task

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse} for status in (400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504)
}


def keys_of_replica() -> tuple[Key, ...]:
    """The API keys of the gateway that runs in this process."""
    gateway: Any = serve.get_replica_context().servable_object
    keys: tuple[Key, ...] = gateway.keys
    return keys


api = make_api("r4t_ray", MAX_BODY_BYTES, keys_of_replica)


async def entry_of(outcome: Any, connection: Request) -> BatchEntry:
    """The entry of one request of a batch."""
    if isinstance(outcome, RetrieveResponse):
        return BatchEntry(status=200, answer=outcome)
    status, error = await fault_of(connection, outcome)
    return BatchEntry(status=status, error=error)


def entry(opened: OpenTask, item_id: str) -> dict[str, Any]:
    """An entry of a task's pool."""
    row = opened.pool.row_of[item_id]
    payload = opened.attributes.payload(row) if opened.attributes else None
    return {"task": opened.task, "id": item_id, "text": opened.pool.texts[row], "payload": payload}


def pool_info(opened: OpenTask) -> PoolInfo:
    """What a task searches."""
    return PoolInfo(
        size=len(opened.pool.ids),
        dim=opened.dim,
        type=opened.index_type,
        shards=opened.num_shards,
        attributes=list(opened.attributes.items.names if opened.attributes else ()),
        model=opened.model,
    )


@serve.deployment
@serve.ingress(api)
class Gateway:
    """HTTP over a `ServeBackend`.

    Args:
        args: The application's arguments, their workspace absolute.
        generator: Handle of the Generator deployment.
        deployed: Index -> handles of its Shard deployments; empty lists when this process searches the indexes.
        keys: API keys. Without one every request passes.
    """

    def __init__(
        self, args: AppArgs, generator: Handle, deployed: dict[IndexName, list[Handle]], keys: tuple[Key, ...] = ()
    ) -> None:
        self.keys = keys
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

    @api.get("/livez")
    async def livez(self) -> JSONResponse:
        """200 if the gateway answers."""
        return JSONResponse({"status": "ok"})

    @api.get("/readyz", responses=ERRORS)
    @api.get("/healthz", responses=ERRORS)
    async def healthz(self) -> JSONResponse:
        """200 if the generator and every shard answer, else 503 or 504."""
        await self._backend.check_ready()
        models = {task: opened.model.model_dump() for task, opened in self._backend.tasks.items()}
        return JSONResponse({"status": "ok", "default_task": self._backend.default_task, "tasks": models})

    @api.post("/v1/retrieve", responses=ERRORS)
    async def retrieve(self, request: RetrieveRequest, connection: Request) -> RetrieveResponse:
        """Diverse directions for a broad query, each with its nearest items, and the union of the items."""
        return await self._backend.retrieve(request, connection.state.request_id)

    @api.post("/v1/retrieve:batch", responses=ERRORS)
    async def retrieve_batch(self, batch: BatchRequest, connection: Request) -> BatchResponse:
        """Answers to several requests in one pass of the models. Each has its own answer or error."""
        outcomes: dict[int, Any] = {}
        for position, fields in enumerate(batch.requests):
            try:
                outcomes[position] = RetrieveRequest.model_validate(fields)
            except ValidationError as error:
                outcomes[position] = request_fault(error.errors())
        valid = {at: one for at, one in outcomes.items() if isinstance(one, RetrieveRequest)}
        outcomes |= await self._backend.retrieve_all(valid, connection.state.request_id)
        entries = [await entry_of(outcome, connection) for outcome in outcomes.values()]
        return BatchResponse(request_id=connection.state.request_id, answers=entries)

    @api.post("/v1/fanout", responses=ERRORS)
    async def fan_out(self, request: RetrieveRequest, connection: Request) -> FanoutResponse:
        """The directions of a request without their items."""
        opened, directions = await self._backend.fan_out(request)
        return FanoutResponse(
            request_id=connection.state.request_id,
            task=opened.task,
            query=request.query,
            directions=directions,
            model=opened.model,
        )

    @api.post("/v1/search", responses=ERRORS)
    async def search(self, request: SearchRequest, connection: Request) -> SearchResponse:
        """The nearest items of vectors of the caller, by cosine."""
        opened, results = await self._backend.search_vectors(request)
        return SearchResponse(request_id=connection.state.request_id, task=opened.task, results=results)

    @api.get("/v1/items/{item_id:path}", responses=ERRORS)
    async def item(self, item_id: str, connection: Request, task: Task | None = None) -> ItemResponse:
        """An entry of the catalogue with its attributes, of the task's pool or of the first pool that has it."""
        for opened in [choose_task(self._backend.tasks, task)] if task else self._backend.tasks.values():
            if item_id in opened.pool.row_of:
                return ItemResponse(request_id=connection.state.request_id, **entry(opened, item_id))
        raise HTTPException(404, f"no entry {item_id!r:.80}")

    @api.get("/v1/index", responses=ERRORS)
    async def index(self, connection: Request) -> IndexResponse:
        """What the server searches: the pools, their indexes and attributes, and the models that answer."""
        return IndexResponse(
            request_id=connection.state.request_id,
            default_task=self._backend.default_task,
            tasks={task: pool_info(opened) for task, opened in self._backend.tasks.items()},
        )
