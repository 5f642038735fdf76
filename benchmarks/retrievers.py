"""Training and scoring of retrievers without Ray, for benchmarks that compare several retrievers on one workspace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from r4t_ray.artifacts import Workspace
from r4t_ray.diffusion import DiffusionConfig, SamplerConfig, SolverName
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.training.batches import PairCollate, cached_batches, load_pairs
from r4t_ray.diffusion.training.learner import Learner
from r4t_ray.diffusion.training.stage import Pool, prepare_task
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.scores import score
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.evaluation.trial import Trial, open_trial
from r4t_ray.folm import SharedEngine
from r4t_ray.rewards import OARConfig
from r4t_ray.types import Task

Generate = Callable[[Tensor, torch.Generator], Tensor]
"""(z_q_BD, generator of the noise) -> unit rows z_BLD."""

COMPARED: dict[Task, tuple[str, ...]] = {"oar": ("oar_reward", "vendi"), "wscr": ("recall@100", "vendi")}
"""The measures of each task that are compared: one of quality and one of diversity.

OAR is open-ended abstract retrieval, WSCR is weakly supervised compositional retrieval.
"""


def fit(config: DiffusionConfig, pairs: Path, task: Task, seed: int, pool: Pool | None) -> DiffusionRetriever:
    """Train a retriever on one task's pairs in memory; returns the retriever with averaged weights.

    Args:
        config: Settings of the stage.
        pairs: Folder of the task's pairs.
        task: The task.
        seed: Seed of the weights and the noise.
        pool: ``pool_of`` the task.
    """
    job = prepare_task(config, pairs, task, pool=pool)
    known: dict[str, Any] = {"anchors_ND": job.anchors_ND, "hubness_N": job.hubness_N, "known": job.known}
    learner = Learner(job.config, job.shape, task, seed=seed, rank=0, **known)
    loaded = load_pairs(pairs, "train", PairCollate(job.shape, job.mean_weight))
    for batch in islice(cached_batches(loaded, config.optimizer.batch_size, seed), config.optimizer.num_steps):
        learner.update(batch["z_q"], batch["Z"], batch["weight"])
    return learner.ema.model.eval()


def sampling(retriever: DiffusionRetriever, **settings: Any) -> Generate:
    """The ``generate`` of a retriever with some settings changed."""
    return lambda z_q_BD, source: retriever.generate(z_q_BD, generator=source, **settings)


def trial_of(workspace: Path, task: Task) -> Trial:
    """The held-out queries of a task with the k and n of the evaluation; no language model is used."""
    config = EvaluationConfig(methods=("r4t_diffusion",), latency_batches=())
    engine = SharedEngine(no_language_model)
    return open_trial(config, Workspace(workspace), task, engine=engine, reward=OARConfig(), seed=0)


def no_language_model(folder: Path) -> Any:
    """Fail: the benchmark needs no language model."""
    raise AssertionError(f"no language model is expected, but {folder} is loaded")


def scored(trial: Trial, generate: Generate, solver: SolverName, draws: int) -> dict[str, NDArray[np.float64]]:
    """The measures of each held-out query, averaged over draws.

    Args:
        trial: The queries and their pool.
        generate: Generates the rows.
        solver: A solver with the same order of rows; the order of a ranking solver is kept.
        draws: Answers per query, each with different noise.
    """
    retriever: Any = SimpleNamespace(
        sampler=SamplerConfig(solver=solver),
        generate=lambda z_q_BD, generator, **_: generate(z_q_BD, generator),
    )
    bench = replace(trial.make_bench(), retriever=lambda name: retriever)
    rows = [
        [
            score(bench, answer, query, z_q_D)
            for answer, query, z_q_D in zip(
                METHODS["r4t_diffusion"].answer(bench, trial.queries, trial.query_emb_BD, 1000 * draw),
                trial.queries,
                trial.query_emb_BD,
                strict=True,
            )
        ]
        for draw in range(draws)
    ]
    return {name: np.array([[row[name] for row in draw] for draw in rows]).mean(axis=0) for name in rows[0][0]}
