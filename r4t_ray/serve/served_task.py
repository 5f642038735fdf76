"""One task as the gateway and the local path hold it: pool, what answers, and the shards that are searched here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from r4t_ray.additions import load_added
from r4t_ray.artifacts import Workspace
from r4t_ray.diffusion import SOLVERS
from r4t_ray.errors import RequestError
from r4t_ray.index import Shard, flat_shard, load_index, search_shards
from r4t_ray.serve.answer import Labels, Pool, compose
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.fan_out import Ask
from r4t_ray.serve.loading import describe, load_labels, load_pool, served_tasks, verify
from r4t_ray.serve.schema import ModelInfo, RetrieveRequest, RetrieveResponse
from r4t_ray.types import Array, Rows, Task


@dataclass(frozen=True)
class ServedTask:
    """One task of a workspace, ready to search and to compose answers.

    ``shards`` are those of the pool that this process searches: all of them, or, beside deployed ones, at most the one
    of the entries that `r4t add` brought. It is held with the pool that names its rows, so the two always agree.
    """

    task: Task
    pool: Pool
    model: ModelInfo
    shards: tuple[Shard, ...]
    labels: Labels | None = None

    def ask(self, request: RetrieveRequest) -> Ask:
        """What the generator is asked for a request; raises RequestError for guidance that would say nothing."""
        if request.guidance is not None and not SOLVERS[self.model.solver].is_guided:
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
        """Cosines and pool rows of each direction's n nearest items in the shards of this process."""
        assert self.shards, "this gateway searches deployed shards"
        return search_shards(self.shards, z_LD, n)

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
    return {task: open_task(workspace, task, args, with_index) for task in served_tasks(workspace)}


def open_task(workspace: Workspace, task: Task, args: AppArgs, with_index: bool) -> ServedTask:
    """One task of ``load_tasks``; the rows of what was added follow those of the index."""
    pool, added = load_pool(workspace, task), load_added(workspace, task)
    shards = load_index(workspace, task).shards if with_index else ()
    if added is not None:
        shards = (*shards, flat_shard(added.emb_MD, offset=len(pool.ids)))
        pool = Pool([*pool.ids, *added.ids], [*pool.texts, *added.texts])
    num_added = len(added.ids) if added else 0
    return ServedTask(task, pool, describe(workspace, task, args, num_added), shards, load_labels(workspace, task))


def choose_task(served: Mapping[Task, ServedTask], task: Task) -> ServedTask:
    """The task asked for; raises RequestError when this workspace has no retriever for it."""
    if task not in served:
        raise RequestError("task", repr(task), f"one of {', '.join(served)}", "name a task that this workspace trained")
    return served[task]
