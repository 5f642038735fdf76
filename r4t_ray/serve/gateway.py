"""The gateway deployment: it validates HTTP requests and returns answers, the page and the health check.

`serve.ingress` copies the routes when the class is decorated, so every name that they use stands above it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import ValidationError
from ray import serve
from starlette.types import Scope

from r4t_ray.artifacts import Workspace
from r4t_ray.live.writer import Written
from r4t_ray.machine.threads import limit_threads
from r4t_ray.retrieval.faults import request_fault
from r4t_ray.retrieval.live import Versions
from r4t_ray.retrieval.live.versions import open_version
from r4t_ray.retrieval.messages import (
    ActivateRequest,
    BatchEntry,
    BatchRequest,
    BatchResponse,
    DeleteRequest,
    FanoutResponse,
    GenerationResponse,
    IndexResponse,
    ItemResponse,
    PoolInfo,
    SearchRequest,
    SearchResponse,
    UpsertRequest,
)
from r4t_ray.retrieval.request import MAX_BODY_BYTES, METHODS, Method, RetrieveRequest
from r4t_ray.retrieval.response import ChangeResponse, ErrorResponse, RetrieveResponse
from r4t_ray.retrieval.retriever import choose_task
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.backend import ServeBackend
from r4t_ray.serve.generator import embedded, models_of
from r4t_ray.serve.http import fault_of, make_api
from r4t_ray.serve.keys import Key
from r4t_ray.serve.lookups import Handle, Here
from r4t_ray.serve.observability.exposition import CONTENT_TYPE, exposition
from r4t_ray.serve.observability.metrics import record_request
from r4t_ray.serve.observability.query_log import QueryLog
from r4t_ray.serve.page import read_page
from r4t_ray.types import IndexName, Task

_logger = logging.getLogger("ray.serve")
"""Serve's logger, which writes to the file of the replica."""

SWAP_DEADLINE_S = 600.0  # within which every replica has to load another workspace

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse} for status in (400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504)
}


def keys_of_replica() -> tuple[Key, ...]:
    """The API keys of the gateway that runs in this process."""
    gateway: Any = serve.get_replica_context().servable_object
    keys: tuple[Key, ...] = gateway.keys
    return keys


def note_reply(scope: Scope, status: int, milliseconds: float) -> None:
    """Count a request under the path of its route, and log it if the server's logs are JSON.

    Paths of no route, and requests without a key, are "other". So the log repeats nothing that a client wrote.
    """
    path: str = scope["route"].path if "route" in scope else "other"
    record_request(path, status)
    gateway: Any = serve.get_replica_context().servable_object
    if gateway.has_json_logs:
        state, about = scope["state"], dict.fromkeys(("task", "method", "partial"))
        fields = {"request_id": state["request_id"], "path": path, "status": status, "ms": round(milliseconds, 3)}
        _logger.info("%s %s", scope["method"], path, extra=fields | about | state.get("about", {}))


api = make_api("r4t_ray", MAX_BODY_BYTES, keys_of_replica, note_reply)


async def entry_of(outcome: Any, connection: Request) -> BatchEntry:
    """The entry of one request of a batch."""
    if isinstance(outcome, RetrieveResponse):
        return BatchEntry(status=200, answer=outcome)
    status, error = await fault_of(connection, outcome)
    return BatchEntry(status=status, error=error)


def change_response(written: Written, connection: Request) -> ChangeResponse:
    """The answer to an upsert or a deletion."""
    return ChangeResponse(
        request_id=connection.state.request_id,
        changed=written.num,
        unknown=list(written.unknown),
        generation=written.generation,
        sequence=written.sequence,
    )


@serve.deployment
@serve.ingress(api)
class Gateway:
    """HTTP over a `ServeBackend`.

    Args:
        args: The application's arguments, their workspace absolute.
        generator: Handle of the Generator deployment. None loads the models into this process.
        writer: Handle of the Writer deployment.
        deployed: Index -> handles of its Shard deployments; empty lists when this process searches the indexes.
        keys: API keys. Without one every request passes.
        language_model: Handle of the LanguageModel deployment, if there is one.
    """

    def __init__(
        self,
        args: AppArgs,
        generator: Handle | None,
        writer: Handle,
        deployed: dict[IndexName, list[Handle]],
        keys: tuple[Key, ...] = (),
        language_model: Handle | None = None,
    ) -> None:
        self._methods: tuple[Method, ...] = (*METHODS, *(("folm",) if language_model else ()))
        self.keys, self.has_json_logs = keys, args.json_logs
        self._writer, self._deadline_s = writer, args.deadline_s
        self._query_log = QueryLog(args.query_log) if args.query_log else None
        names = [name for name, handles in deployed.items() if handles]
        self._versions = Versions(Workspace(args.workspace), lambda one: open_version(one, args, names))
        self._models = None if generator else models_of(args)
        self._generator = generator or Here(self._models)
        self._backend = ServeBackend(
            args,
            versions=self._versions,
            generator=self._generator,
            deployed=deployed,
            language_model=language_model,
            threads=limit_threads(args.gateway.cpus),
        )

    async def prepare(self, root: str) -> None:
        """Open another workspace beside this one. Raises ArtifactError."""
        await asyncio.to_thread(self._versions.opened.__getitem__, root)
        if self._models:
            await self._models.prepare(root)

    async def release(self, root: str) -> None:
        """Forget other workspaces."""
        self._versions.opened.keep(root)
        if self._models:
            await self._models.release(root)

    @api.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page(self) -> HTMLResponse:
        """A page with a form for queries. It loads nothing from other servers."""
        _, served = await self._backend.served()
        default = self._backend.default_task(served)
        page = read_page((default, *(task for task in served.tasks if task != default)), self._methods)
        return HTMLResponse(page.html, headers={"Content-Security-Policy": page.policy})

    @api.get("/livez")
    async def livez(self) -> JSONResponse:
        """200 if the gateway answers."""
        return JSONResponse({"status": "ok"})

    @api.get("/readyz", responses=ERRORS)
    @api.get("/healthz", responses=ERRORS)
    async def healthz(self) -> JSONResponse:
        """200 if the generator and every shard answer, else 503 or 504."""
        await self._backend.check_ready()
        _, served = await self._backend.served()
        models = {task: opened.model.model_dump() for task, opened in served.tasks.items()}
        return JSONResponse({"status": "ok", "default_task": self._backend.default_task(served), "tasks": models})

    @api.get("/metrics", response_class=PlainTextResponse, responses=ERRORS)
    async def metrics(self) -> PlainTextResponse:
        """The metrics of all replicas, and of Serve, in the text form of Prometheus."""
        return PlainTextResponse(await exposition(), media_type=CONTENT_TYPE)

    @api.post("/v1/retrieve", responses=ERRORS)
    async def retrieve(self, request: RetrieveRequest, connection: Request) -> RetrieveResponse:
        """Diverse directions for a broad query, each with its nearest items, and the union of the items."""
        answer = await self._backend.retrieve(request, connection.state.request_id)
        connection.state.about = {"task": answer.task, "method": request.method, "partial": answer.partial}
        self._log_query(answer)
        return answer

    def _log_query(self, answer: RetrieveResponse) -> None:
        if self._query_log:
            self._query_log.add(answer)

    @api.post("/v1/retrieve:batch", responses=ERRORS)
    async def retrieve_batch(self, batch: BatchRequest, connection: Request) -> BatchResponse:
        """Answers to several requests in one pass of the models. Each has its own answer or error."""
        outcomes: dict[int, Any] = {}
        for position, fields in enumerate(batch.requests):
            try:
                outcomes[position] = RetrieveRequest.model_validate(fields)
            except ValidationError as error:
                outcomes[position] = request_fault(error.errors(), RetrieveRequest)
        valid = {at: one for at, one in outcomes.items() if isinstance(one, RetrieveRequest)}
        outcomes |= await self._backend.retrieve_all(valid, connection.state.request_id)
        entries = [await entry_of(outcome, connection) for outcome in outcomes.values()]
        for one in entries:
            record_request("/v1/retrieve:batch/*", one.status)
            if one.answer:
                self._log_query(one.answer)
        return BatchResponse(request_id=connection.state.request_id, answers=entries)

    @api.post("/v1/fanout", responses=ERRORS)
    async def fan_out(self, request: RetrieveRequest, connection: Request) -> FanoutResponse:
        """The directions of a request without their items."""
        opened, directions = await self._backend.fan_out(request)
        connection.state.about = {"task": opened.task, "method": request.method}
        return FanoutResponse(
            request_id=connection.state.request_id,
            task=opened.task,
            query=request.query,
            directions=directions,
            model=opened.model,
            generation=opened.generation,
        )

    @api.post("/v1/search", responses=ERRORS)
    async def search(self, request: SearchRequest, connection: Request) -> SearchResponse:
        """The nearest items of vectors of the caller, by cosine."""
        opened, results = await self._backend.search_vectors(request)
        return SearchResponse(
            request_id=connection.state.request_id, task=opened.task, results=results, generation=opened.generation
        )

    @api.get("/v1/items/{item_id:path}", responses=ERRORS)
    async def item(self, item_id: str, connection: Request, task: Task | None = None) -> ItemResponse:
        """An entry of the catalogue with its attributes, of the task's pool or of the first pool that has it."""
        tasks = (await self._backend.served())[1].tasks
        for opened in [choose_task(tasks, task)] if task else tasks.values():
            if item_id in opened.pool.row_of:
                return ItemResponse.of(opened, item_id, connection.state.request_id)
        raise HTTPException(404, f"no entry {item_id!r:.80}")

    @api.get("/v1/index", responses=ERRORS)
    async def index(self, connection: Request) -> IndexResponse:
        """What the server searches: the pools, their indexes and attributes, and the models that answer."""
        version, served = await self._backend.served()
        default = self._backend.default_task(served)
        return IndexResponse(
            request_id=connection.state.request_id,
            workspace=Path(version.root).name,
            embedding_field=version.embedding_field,
            default_task=default,
            methods=list(self._methods),
            tasks={task: PoolInfo.of(opened) for task, opened in served.tasks.items()},
            generation=served.tasks[default].generation,
            sequence=served.tasks[default].sequence,
        )

    async def _write(self, method: Any, *given: Any, limit_s: float | None = None) -> Any:
        """What a method of the writer returns within the deadline, or within another limit."""
        async with asyncio.timeout(limit_s or self._deadline_s):
            return await method.remote(*given)

    @api.post("/v1/admin/upsert", responses=ERRORS)
    async def upsert(self, request: UpsertRequest, connection: Request) -> ChangeResponse:
        """Add entries, or replace those with their ids. When the answer comes, they are on the disk and served."""
        async with asyncio.timeout(self._deadline_s):
            version, _ = await self._backend.served()
            new, emb_MD = await embedded(request.pool, request.records, version, self._generator)
            written = await self._writer.upsert.remote(request.pool, new, emb_MD, version.root)
        return change_response(written, connection)

    @api.post("/v1/admin/snapshot", responses=ERRORS)
    async def snapshot(self, connection: Request) -> GenerationResponse:
        """Write the live entries as a new generation, from which an empty log begins."""
        activated = await self._write(self._writer.snapshot)
        return GenerationResponse(request_id=connection.state.request_id, **asdict(activated))

    @api.post("/v1/admin/activate", responses=ERRORS)
    async def activate(self, request: ActivateRequest, connection: Request) -> GenerationResponse:
        """Serve another generation or workspace, from the next request on. No change is lost."""
        if request.workspace is None:
            activated = await self._write(self._writer.activate, request.generation)
        else:
            activated = await self._write(self._writer.serve_from, request.workspace, limit_s=SWAP_DEADLINE_S)
        return GenerationResponse(request_id=connection.state.request_id, **asdict(activated))

    @api.post("/v1/admin/delete", responses=ERRORS)
    async def delete(self, request: DeleteRequest, connection: Request) -> ChangeResponse:
        """Delete entries. When the answer comes, this is on the disk, and no later request finds them."""
        written = await self._write(self._writer.delete, request.pool, request.ids)
        return change_response(written, connection)
