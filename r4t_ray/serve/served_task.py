"""One task as the gateway and the local path hold it: pool, what answers, and the index where it is searched here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from r4t_ray.artifacts import Workspace
from r4t_ray.diffusion import UNGUIDED_SOLVERS
from r4t_ray.errors import RequestError
from r4t_ray.index import ShardedIndex, load_index
from r4t_ray.serve.answer import Labels, Pool, compose
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.fan_out import Ask
from r4t_ray.serve.loading import describe, load_labels, load_pool, served_tasks, verify
from r4t_ray.serve.schema import ModelInfo, RetrieveRequest, RetrieveResponse
from r4t_ray.types import Array, Rows, Task


@dataclass(frozen=True)
class ServedTask:
    """One task of a workspace, ready to search (when ``index`` is held here) and to compose answers."""

    task: Task
    pool: Pool
    model: ModelInfo
    index: ShardedIndex | None
    labels: Labels | None = None

    def ask(self, request: RetrieveRequest) -> Ask:
        """What the generator is asked for a request; raises RequestError for guidance that would say nothing."""
        if request.guidance is not None and self.model.solver in UNGUIDED_SOLVERS:
            raise RequestError(
                "guidance",
                str(request.guidance),
                f"none: the solver {self.model.solver} takes no guidance",
                "leave it out, or have the server sample: serve.solver: dpmpp_2m, serve.num_steps: 4",
            )
        return Ask(
            self.task,
            request.query,
            request.seed,
            request.temperature,
            request.guidance,
            request.strength,
            self.pool.in_words(request.like),
            self.pool.in_words(request.avoid),
        )

    def num_hits(self, request: RetrieveRequest) -> int:
        """Hits of each direction that leave n when the items avoided are left out."""
        return request.n + len(self.pool.rows(request.avoid))

    def search(self, z_LD: Array, n: int) -> tuple[Array, Rows]:
        """Cosines and pool rows of each direction's n nearest items, by the index in this process."""
        assert self.index is not None, "this gateway searches deployed shards"
        return self.index.search(z_LD, n)

    def compose(self, request: RetrieveRequest, z_LD: Array, scores_LK: Array, rows_LK: Rows) -> RetrieveResponse:
        """The response to ``request``; see `r4t_ray.serve.answer.compose`."""
        return compose(request, self.task, z_LD, scores_LK, rows_LK, self.pool, self.model, self.labels)


def load_tasks(workspace: Workspace, args: AppArgs, with_index: bool) -> dict[Task, ServedTask]:
    """Open every task that the workspace can serve, its artifacts verified; raises ArtifactError.

    Args:
        workspace: The experiment's artifacts.
        args: Sampler settings, reported in the answers.
        with_index: Whether to hold the index, or only the pool's ids and texts.
    """
    verify(workspace)
    return {
        task: ServedTask(
            task=task,
            pool=load_pool(workspace, task),
            model=describe(workspace, task, args),
            index=load_index(workspace, task) if with_index else None,
            labels=load_labels(workspace, task),
        )
        for task in served_tasks(workspace)
    }


def choose_task(served: Mapping[Task, ServedTask], task: Task) -> ServedTask:
    """The task asked for; raises RequestError when this workspace has no retriever for it."""
    if task not in served:
        raise RequestError("task", repr(task), f"one of {', '.join(served)}", "name a task that this workspace trained")
    return served[task]
