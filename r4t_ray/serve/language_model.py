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
from r4t_ray.config import Resources, recorded_settings
from r4t_ray.errors import ConfigError, EngineError, RequestError
from r4t_ray.retrieval.live.versions import Loaded, served_workspace
from r4t_ray.retrieval.request import RetrieveRequest
from r4t_ray.serve.args import AppArgs, Scaling
from r4t_ray.serve.generator import Batches
from r4t_ray.types import TASKS, Task

TEMPERATURE = 0.9
"""Sampling temperature of a request with temperature 1, as `synthesize-pairs` and `evaluate` sample by default."""
LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.01, 2.0
"""Bounds of a temperature above 0. vLLM refuses more than 2."""
MOST_SEEDS = 2**31
"""Seeds that an engine takes."""
MOST_WISHES = 8
"""Most wishes of a batch. The engine transformers answers one after the other, and all within a request's deadline."""
MOST_FAILURES = 3
"""Wishes that an engine fails one after the other, after which its replica is no longer healthy."""
Written = tuple[str, ...] | Exception
"""What the model wrote for a wish, or the error of the engine."""


class Wish(NamedTuple):
    """What the language model needs of a request. ``root`` is the folder of the workspace that the request sees."""

    task: Task
    query: str
    k: int
    seed: int
    temperature: float
    root: str

    @property
    def group(self) -> tuple[Task, int, float]:
        """What the wishes that an engine answers together share."""
        return self.task, self.k, self.temperature

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
        config = recorded_settings(FolmConfig, workspace.artifact("folm").manifest.config)
        resources = Resources(cpus=scaling.cpus, gpus=scaling.gpus)
        self._engine = SharedEngine(partial(FanOutModel.load, config=config, resources=resources))
        self._engine.at(next(iter(self._folders.values())))

    def write(self, wishes: Sequence[Wish]) -> list[Written]:
        """The sub-queries of each wish, at most its ``k``, or the error of the engine.

        There are none if the answer of the model cannot be parsed. Wishes of one task, ``k`` and temperature are
        answered together, and an error is that of their group alone.
        """
        written: dict[int, Written] = {}
        for alike in sorted({one.group for one in wishes}):  # by task, because another task needs other weights
            places = [at for at, one in enumerate(wishes) if one.group == alike]
            outcomes: Sequence[Written]
            try:
                outcomes = self._write_alike([wishes[at] for at in places])
            except Exception as error:  # raised to the callers of this group
                outcomes = [error] * len(places)
            written |= dict(zip(places, outcomes, strict=True))
        return [written[at] for at in range(len(wishes))]

    def _write_alike(self, wishes: Sequence[Wish]) -> list[tuple[str, ...]]:
        task, k, temperature = wishes[0].group
        outputs = self._engine.at(self._folders[task]).fan_out(
            task,
            [wish.query for wish in wishes],
            k,
            temperature=sampling_temperature(temperature),
            seed=[wish.seed % MOST_SEEDS for wish in wishes],
        )
        return [tuple(filter(is_text, dict.fromkeys(output or ()))) for (output,) in outputs]

    def require(self, task: Task) -> None:
        """Raise RequestError if the task has no model."""
        if task not in self._folders:
            fix = "name another task, or ask with the method diffusion"
            raise RequestError("method", f"folm for task {task}", f"a task of {', '.join(self._folders)}", fix)


def sampling_temperature(temperature: float) -> float:
    """The temperature of the engine for the temperature of a request. 0 stays 0: the most likely tokens."""
    return temperature and min(max(TEMPERATURE * temperature, LEAST_TEMPERATURE), MOST_TEMPERATURE)


def is_text(sub_query: str) -> bool:
    """Whether UTF-8 can write it. An escape in the model's JSON may be half of a surrogate pair."""
    try:
        sub_query.encode()
    except UnicodeEncodeError:
        return False
    return True


@serve.deployment
class LanguageModel:
    """Collects wishes into batches, as the generator does.

    Args:
        args: The application's arguments, their workspace absolute, with ``language_model``.
    """

    def __init__(self, args: AppArgs) -> None:
        assert args.language_model is not None, "build_app deploys none without its scaling"
        scaling, first = args.language_model, Workspace(args.workspace)
        self._loaded = Loaded(lambda workspace: Writers(workspace, scaling))
        self._loaded[str(served_workspace(first).root)]
        self._loaded.keep(str(served_workspace(first).root))  # another one may be served by now
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="language-model")
        self._batches = Batches(self._compute, MOST_WISHES)
        self._failures = 0

    async def check_health(self) -> None:
        """Serve asks this, and starts another replica in place of one that raises three times in a row.

        Raises:
            EngineError: The engine failed the last MOST_FAILURES wishes or more, as one does whose process has died.
        """
        if self._failures >= MOST_FAILURES:
            got = f"no answer to the last {self._failures} requests"
            raise EngineError("the language model", got, "sub-queries", "Serve starts another replica")

    async def prepare(self, root: str) -> None:
        """Load the models of another workspace beside these. Raises as ``Writers``."""
        await asyncio.to_thread(self._loaded.__getitem__, root)

    async def release(self, root: str) -> None:
        """Forget the models of other workspaces."""
        self._loaded.keep(root)

    async def write(self, wish: Wish) -> tuple[str, ...]:
        """The sub-queries of a wish; other wishes may share its batch. None if the model wrote no list of them.

        Raises:
            RequestError: The task has no model.
            Exception: What the engine raises for the wishes of its group.
        """
        writers = await asyncio.to_thread(self._loaded.__getitem__, wish.root)
        writers.require(wish.task)
        written: Written = await self._batches((writers, wish))
        if isinstance(written, Exception):
            self._failures += 1
            raise written
        self._failures = 0
        return written

    async def _compute(self, asked: list[tuple[Writers, Wish]]) -> list[Written]:
        written: dict[int, Written] = {}
        for writers in {writers: None for writers, _ in asked}:
            places = [at for at, (own, _) in enumerate(asked) if own is writers]
            call = partial(writers.write, [asked[at][1] for at in places])
            found = await asyncio.get_running_loop().run_in_executor(self._worker, call)
            written |= dict(zip(places, found, strict=True))
        return [written[at] for at in range(len(asked))]
