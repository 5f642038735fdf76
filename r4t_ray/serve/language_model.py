"""The deployment of the fan-out language models, which write the sub-queries of requests with the method folm."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.config import Resources
from r4t_ray.errors import ConfigError, RequestError
from r4t_ray.retrieval.live.versions import Loaded, served_workspace
from r4t_ray.retrieval.request import RetrieveRequest
from r4t_ray.serve.args import AppArgs, Scaling
from r4t_ray.serve.generator import Batches
from r4t_ray.types import TASKS, Task

TEMPERATURE = 0.9
"""Sampling temperature of a request with temperature 1, as `synthesize-pairs` and `evaluate` sample by default."""
MOST_SEEDS = 2**31
"""Seeds that an engine takes."""


class Wish(NamedTuple):
    """What the language model needs of a request. ``root`` is the folder of the workspace that the request sees."""

    task: Task
    query: str
    k: int
    seed: int
    temperature: float
    root: str

    @classmethod
    def of(cls, request: RetrieveRequest, task: Task, root: str) -> Self:
        """The wish of a request for a task."""
        assert request.query is not None, "RetrieveRequest refuses the method folm without a query"
        terms = {name: getattr(request, name) for name in ("query", "k", "seed", "temperature")}
        return cls(task=task, root=root, **terms)


def trained_models(workspace: Workspace) -> dict[Task, Path]:
    """The folder of the trained language model of each task that has one, verified.

    Raises:
        ArtifactError: The models are missing or changed, or were made from other inputs than what is served.
        ConfigError: The workspace has no language model.
    """
    artifact = workspace.artifact("folm")
    folders = {task: artifact.path / task / "model" for task in TASKS}
    found = {task: path for task, path in folders.items() if f"{task}/model/config.json" in artifact.manifest.files}
    if not found:
        raise ConfigError(
            "serve.language_model",
            f"{workspace.root}, which has no language model",
            "a workspace whose folm.train is true",
            "leave serve.language_model out, or run the pipeline with language models (no `preset: fast`)",
        )
    return found


class Writers:
    """The language models of one workspace on one engine.

    Args:
        workspace: The workspace.
        scaling: CPUs and GPUs of this process.

    Raises:
        ArtifactError, ConfigError: As ``trained_models``.
        EngineError: The engine of the workspace's settings is not installed.
    """

    def __init__(self, workspace: Workspace, scaling: Scaling) -> None:
        # Imported here because it loads the trainers, which the gateway does not need.
        from r4t_ray.folm import FanOutModel, FolmConfig, SharedEngine

        self._folders = trained_models(workspace)
        config = FolmConfig.model_validate(workspace.artifact("folm").manifest.config)
        resources = Resources(cpus=scaling.cpus, gpus=scaling.gpus)
        self._engine = SharedEngine(partial(FanOutModel.load, config=config, resources=resources))
        self._engine.at(next(iter(self._folders.values())))

    def write(self, wishes: Sequence[Wish]) -> list[tuple[str, ...]]:
        """The sub-queries of each wish, at most its ``k``; none if the answer of the model cannot be parsed."""
        written: dict[int, tuple[str, ...]] = {}
        for alike in dict.fromkeys((one.task, one.k, one.temperature) for one in wishes):
            task, k, temperature = alike
            places = [at for at, one in enumerate(wishes) if (one.task, one.k, one.temperature) == alike]
            outputs = self._engine.at(self._folders[task]).fan_out(
                task,
                [wishes[at].query for at in places],
                k,
                temperature=TEMPERATURE * temperature,
                seed=[wishes[at].seed % MOST_SEEDS for at in places],
            )
            written |= {at: output or () for at, (output,) in zip(places, outputs, strict=True)}
        return [written[at] for at in range(len(wishes))]

    def require(self, task: Task) -> None:
        """Raise RequestError if the task has no model."""
        if task not in self._folders:
            fix = "name another task, or ask with the method diffusion"
            raise RequestError("method", f"folm for task {task}", f"a task of {', '.join(self._folders)}", fix)


@serve.deployment
class LanguageModel:
    """Collects wishes into batches, as the generator does.

    Args:
        args: The application's arguments, their workspace absolute, with ``language_model``.
    """

    def __init__(self, args: AppArgs) -> None:
        assert args.language_model is not None, "build_app deploys none without its scaling"
        scaling = args.language_model
        self._loaded = Loaded(lambda workspace: Writers(workspace, scaling))
        self._loaded[str(served_workspace(Workspace(args.workspace)).root)]
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="language-model")
        self._batches = Batches(self._compute, args.max_batch_size)

    async def prepare(self, root: str) -> None:
        """Load the models of another workspace beside these. Raises as ``Writers``."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self._loaded.__getitem__, root)

    async def release(self, root: str) -> None:
        """Forget the models of other workspaces."""
        self._loaded.keep(root)

    async def write(self, wish: Wish) -> tuple[str, ...]:
        """The sub-queries of a wish; other wishes may share its batch.

        Raises:
            RequestError: The task has no model, or the model wrote no list of sub-queries.
        """
        self._loaded[wish.root].require(wish.task)
        written: tuple[str, ...] = await self._batches(wish)
        if not written:
            got, fix = f"an answer of the language model to {wish.query!r:.80} without sub-queries", "try another seed"
            raise RequestError("method", got, "a list of sub-queries", fix)
        return written

    async def _compute(self, wishes: list[Wish]) -> list[tuple[str, ...]]:
        written: dict[int, tuple[str, ...]] = {}
        for root in dict.fromkeys(wish.root for wish in wishes):
            places = [at for at, wish in enumerate(wishes) if wish.root == root]
            call = partial(self._loaded[root].write, [wishes[at] for at in places])
            found = await asyncio.get_running_loop().run_in_executor(self._worker, call)
            written |= dict(zip(places, found, strict=True))
        return [written[at] for at in range(len(wishes))]

    async def ready(self) -> bool:
        """True. A replica answers calls only after its constructor, which loads the models."""
        return True
