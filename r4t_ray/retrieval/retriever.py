"""Answers to queries, from a workspace in this process or from a running server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import ConfigError, RequestError
from r4t_ray.retrieval.client import Client
from r4t_ray.retrieval.compose import answer
from r4t_ray.retrieval.open_task import OpenTask
from r4t_ray.retrieval.picking import run
from r4t_ray.retrieval.request import (
    Generated,
    GenerationRequest,
    RetrieveRequest,
    generation_request,
    parse_request,
)
from r4t_ray.retrieval.response import RetrieveResponse
from r4t_ray.retrieval.settings import RetrievalSettings
from r4t_ray.types import Hits, IndexName, Search, Task


class Retriever:
    """Answers queries from a workspace or through a server.

    Args:
        place: Folder of a workspace, which is then loaded into this process, or the address of `r4t serve`, such as
            ``http://127.0.0.1:8000``.
        settings: Default task and sampler of a workspace. A server ignores them, because it has its own.

    Raises:
        ArtifactError: The workspace cannot be served.
    """

    def __init__(self, place: str | Path, settings: RetrievalSettings | None = None) -> None:
        is_address = str(place).startswith(("http://", "https://"))
        self._source: Client | WorkspaceRetriever = (
            Client(str(place)) if is_address else WorkspaceRetriever(Path(place), settings or RetrievalSettings())
        )

    def retrieve(
        self,
        query: str,
        *,
        k: int = 10,
        n: int | None = None,
        total: int | None = None,
        task: Task | None = None,
        seed: int = 0,
        like: Sequence[str] = (),
        avoid: Sequence[str] = (),
        strength: float = 0.5,
        temperature: float = 1.0,
        guidance: float | None = None,
        filter: Mapping[str, Any] | None = None,
        max_per: Mapping[str, Any] | None = None,
        with_payload: bool = False,
    ) -> RetrieveResponse:
        """Find k diverse directions for a broad query, their items, and the union of the items.

        Args:
            query: The query, in words.
            k: Number of directions to return. With the solver top_anchors at most 64, else at most L.
            n: Number of items per direction. Default: 10, unless ``total`` is given.
            total: Number of items of the whole answer, in place of ``n``: the best ones over all directions.
            task: oar retrieves collections (items if the catalogue has no sets), wscr retrieves the items of one set.
                None takes the default task.
            seed: The same seed gives the same answer.
            like: Ids of the catalogue, or words, that the directions are pulled towards.
            avoid: Ids or words that the directions are pushed away from. Items named by id are left out.
            strength: Strength of the pull and the push, 0 to 4.
            temperature: Factor of the noise. Above 1, sets for different seeds differ more.
            guidance: Classifier-free guidance strength. None takes the model's.
            filter: Only items with these attributes are found, such as ``{"eq": ["category", "tops"]}``; see
                ``filters``. None finds all items.
            max_per: Limit of items of the answer with the same value, such as ``{"attribute": "category", "n": 2}``.
            with_payload: Whether ``item.payload`` has the attributes of each item.

        Raises:
            RequestError: A value is out of range, or the workspace or the server cannot serve it.
            DataError: The workspace's encoder gives a text of the request a vector that is zero or not finite.
        """
        return self.answer(
            parse_request(
                query=query,
                k=k,
                n=n,
                total=total,
                task=task,
                seed=seed,
                like=tuple(like),
                avoid=tuple(avoid),
                strength=strength,
                temperature=temperature,
                guidance=guidance,
                filter=filter,
                max_per=max_per,
                with_payload=with_payload,
            )
        )

    def answer(self, request: RetrieveRequest) -> RetrieveResponse:
        """Answer a request that ``parse_request`` made; see ``retrieve``."""
        return self._source.retrieve(request)


class WorkspaceRetriever:
    """The tasks of a workspace, loaded into this process; see ``Retriever``.

    Args:
        folder: The workspace.
        settings: Default task and sampler.
        device: Torch device of the diffusion retrievers.
        cpus: CPUs that are reserved for this process. Default: those that it may use.
    """

    def __init__(
        self, folder: Path, settings: RetrievalSettings, device: str = "cpu", cpus: float | None = None
    ) -> None:
        # Imported here because they load torch and FAISS, which a client of a server does not need.
        from r4t_ray.retrieval.backend import DirectionGenerator, InProcess
        from r4t_ray.retrieval.loading import open_tasks

        workspace = Workspace(folder)
        self._tasks, shards = open_tasks(workspace, settings, with_index=True)
        self._default_task = default_task(tuple(self._tasks), settings)
        self._backend = InProcess(generator=DirectionGenerator.load(workspace, settings, device, cpus), shards=shards)

    def retrieve(self, request: RetrieveRequest) -> RetrieveResponse:
        """Answer one validated request."""
        return retrieve(request, self._opened(request), self._backend)

    def retrieve_all(self, requests: Sequence[RetrieveRequest]) -> list[RetrieveResponse]:
        """Answer validated requests in one pass of the models. Rounding depends on the size of the batch."""
        each = [(request, self._opened(request)) for request in requests]
        generated = self._backend.generator([generation_request(request, opened) for request, opened in each])
        return [
            run(answer(request, opened, directions), self._backend.search)
            for (request, opened), directions in zip(each, generated, strict=True)
        ]

    def _opened(self, request: RetrieveRequest) -> OpenTask:
        return choose_task(self._tasks, request.task or self._default_task)


class Backend(Protocol):
    """Generation and search, in this process or in a server."""

    def generate(self, request: GenerationRequest) -> Generated:
        """The query's embedding and the L directions of one request."""
        ...

    def search(self, name: IndexName, search: Search) -> Hits:
        """Scores and pool rows of each direction's hits, best first."""
        ...


def retrieve(request: RetrieveRequest, opened: OpenTask, backend: Backend) -> RetrieveResponse:
    """Answer a request for one task.

    Only ``backend`` may wait. ``serve.backend`` takes the same steps, and awaits the generator and every search.

    Raises:
        RequestError: A ``k`` or a ``guidance`` that the task's model cannot serve.
    """
    generated = backend.generate(generation_request(request, opened))
    return run(answer(request, opened, generated), backend.search)


def default_task(served: Sequence[Task], settings: RetrievalSettings) -> Task:
    """The task of a request that names none: the one of the settings, else the first that is served.

    Raises:
        ConfigError: The settings name a task that the workspace does not serve.
    """
    if settings.default_task is not None and settings.default_task not in served:
        raise ConfigError(
            "serve.default_task",
            settings.default_task,
            f"one of {', '.join(served)}, which this workspace serves",
            "leave serve.default_task out",
        )
    return settings.default_task or served[0]


def choose_task(tasks: Mapping[Task, OpenTask], task: Task) -> OpenTask:
    """The task of a request; raises RequestError if this workspace has no retriever for it."""
    if task not in tasks:
        raise RequestError("task", repr(task), f"one of {', '.join(tasks)}", "name a task that this workspace serves")
    return tasks[task]
