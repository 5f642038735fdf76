"""Answers to queries, from a workspace in this process or from a running server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Unpack

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import ConfigError, DataError, RequestError
from r4t_ray.machine.threads import let_threads_sleep
from r4t_ray.retrieval.client import Client, Fields
from r4t_ray.retrieval.compose import answer
from r4t_ray.retrieval.generation import Generated, GenerationRequest, prepare
from r4t_ray.retrieval.open_task import OpenTask
from r4t_ray.retrieval.picking import Lookup, run
from r4t_ray.retrieval.request import RetrieveRequest, parse_request
from r4t_ray.retrieval.response import RetrieveResponse, Shards
from r4t_ray.retrieval.settings import RetrievalSettings
from r4t_ray.retrieval.timing import Clock, limit_of
from r4t_ray.types import IndexName, Task


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

    def retrieve(self, query: str | None = None, **fields: Unpack[Fields]) -> RetrieveResponse:
        """Find k diverse directions for a broad query, their items, and the union of the items.

        Args:
            query: The query, in words. It may be left out if ``like`` names ids: the answer completes these entries.
            fields: The other fields of a request, by name; ``RetrieveRequest`` has their meanings and defaults. The
                main ones:

                - ``k``: number of directions; ``n``: items per direction; ``total``: items of the whole answer in place
                  of ``n``; ``offset``: the items of ``total`` to leave out, for pages.
                - ``task``: oar retrieves collections (items if the catalogue has no sets), wscr the items of one set.
                - ``like``, ``avoid``, ``strength``, ``temperature``, ``guidance``, ``seed``: steering.
                - ``filter``, ``max_per``, ``dedupe``, ``min_relevance``: which items are found.
                - ``method``: diffusion, none (plain search), mmr, or folm (a language model that a server deploys);
                  ``include_query``: the query as one more direction.

        Raises:
            RequestError: A value is out of range, or the workspace or the server cannot serve it.
            DeadlineError: ``timeout_ms`` has passed.
            DataError: The workspace's encoder gives a text of the request a vector that is zero or not finite.
        """
        return self.answer(parse_request(query=query, **fields))

    def answer(self, request: RetrieveRequest) -> RetrieveResponse:
        """Answer a request that ``parse_request`` made; see ``retrieve``."""
        return self._source.retrieve(request)


class WorkspaceRetriever:
    """The tasks of a workspace, loaded into this process with the live changes so far; see ``Retriever``.

    Args:
        folder: The workspace.
        settings: Default task and sampler.
        device: Torch device of the diffusion retrievers.
        cpus: CPUs that are reserved for this process. The default answers one request fastest: two threads took 1.2
            times as long on the cookbook.
    """

    def __init__(self, folder: Path, settings: RetrievalSettings, device: str = "cpu", cpus: float = 1.0) -> None:
        let_threads_sleep()
        # Imported here because they load torch and FAISS, which a client of a server does not need.
        from r4t_ray.retrieval.backend import DirectionGenerator, InProcess
        from r4t_ray.retrieval.live import LiveTasks
        from r4t_ray.retrieval.loading import open_tasks

        workspace = Workspace(folder)
        served = LiveTasks(workspace, *open_tasks(workspace, settings, with_index=True)).served
        self._tasks, self._default_task = served.tasks, default_task(tuple(served.tasks), settings)
        generator = DirectionGenerator.load(workspace, settings, device, cpus)
        self._backend = InProcess(generator=generator, shards=served.shards)

    def retrieve(self, request: RetrieveRequest) -> RetrieveResponse:
        """Answer one validated request."""
        return retrieve(request, self._opened(request), self._backend)

    def retrieve_all(self, requests: Sequence[RetrieveRequest]) -> list[RetrieveResponse | DataError]:
        """Answer validated requests in one pass of the models. Rounding depends on the size of the batch.

        A request has its error if the encoder gives one of its texts a vector that is zero or not finite.
        """
        from r4t_ray.retrieval.backend import outcomes_of  # it loads torch

        each, search = [(request, self._opened(request)) for request in requests], self._backend.search
        prepared = [run(prepare(request, opened), search) for request, opened in each]
        outcomes = outcomes_of(self._backend.generator, prepared)
        return [
            made if isinstance(made, DataError) else finish(request, opened, made, self._backend, Clock())
            for (request, opened), made in zip(each, outcomes, strict=True)
        ]

    def _opened(self, request: RetrieveRequest) -> OpenTask:
        if request.method == "folm":
            raise no_language_model("this process")
        return choose_task(self._tasks, request.task or self._default_task)


class Backend(Protocol):
    """Generation and search, in this process or in a server."""

    def generate(self, request: GenerationRequest) -> Generated:
        """The query's embedding and the L directions of one request."""
        ...

    def search(self, name: IndexName, lookup: Lookup) -> Any:
        """What a lookup finds: scores and pool rows of each direction's hits, or embeddings."""
        ...


def retrieve(request: RetrieveRequest, opened: OpenTask, backend: Backend) -> RetrieveResponse:
    """Answer a request for one task.

    Only ``backend`` may wait. ``serve.backend`` takes the same steps, and awaits the generator and every lookup.

    Raises:
        RequestError: A ``k`` or a ``guidance`` that the task's model cannot serve.
        DeadlineError: The request's ``timeout_ms`` has passed. It is checked between the steps.
    """
    clock = Clock(limit_of(request.timeout_ms))
    generation = run(prepare(request, opened), clock.timed("search", backend.search))
    generated = clock.timed("wait", backend.generate)(generation)
    clock.generated(generated.timings_ms)
    return finish(request, opened, generated, backend, clock)


def finish(
    request: RetrieveRequest, opened: OpenTask, generated: Generated, backend: Backend, clock: Clock
) -> RetrieveResponse:
    """The steps after generation."""
    found = run(answer(request, opened, generated), clock.timed("search", backend.search))
    return clock.stamp(found, Shards(ok=1, total=1))


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


def no_language_model(place: str) -> RequestError:
    """The error for the method folm where no language model is deployed."""
    fix = "set serve.language_model, and start `r4t serve`"
    return RequestError("method", "folm", f"diffusion, none or mmr, because {place} deploys no language model", fix)


def choose_task(tasks: Mapping[Task, OpenTask], task: Task) -> OpenTask:
    """The task of a request; raises RequestError if this workspace has no retriever for it."""
    if task not in tasks:
        raise RequestError("task", repr(task), f"one of {', '.join(tasks)}", "name a task that this workspace serves")
    return tasks[task]
