"""Retrievers fitted and scored without Ray, for tables that compare several on one workspace."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.stopwatch import provenance
from r4t_ray.artifacts import Workspace
from r4t_ray.diffusion import DiffusionConfig, SamplerConfig, SolverName
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.training.batches import PairCollate, cached_batches, load_pairs
from r4t_ray.diffusion.training.learner import Learner
from r4t_ray.diffusion.training.stage import prepare_task
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.scores import score
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.evaluation.trial import Trial, open_trial
from r4t_ray.folm import SharedEngine
from r4t_ray.rewards import OARConfig
from r4t_ray.types import Task

Generate = Callable[[Tensor, torch.Generator], Tensor]
"""(z_q_BD, source of noise) -> unit rows z_BLD."""

KEPT: dict[Task, tuple[str, ...]] = {"oar": ("oar_reward", "vendi"), "wscr": ("recall@100", "vendi")}
"""What a retriever has to keep: a task's own reward, and diversity."""


def fit(config: DiffusionConfig, pairs: Path, task: Task, seed: int) -> DiffusionRetriever:
    """The averaged retriever after the settings' steps on one task's pairs, all of them in memory."""
    job = prepare_task(config, pairs, task)
    learner = Learner(job.config, task, seed, 0, job.anchors_ND)
    loaded = load_pairs(pairs, "train", PairCollate(config.network, job.mean_weight))
    for batch in islice(cached_batches(loaded, config.optimizer.batch_size, seed), config.optimizer.num_steps):
        learner.update(batch["z_q"], batch["Z"], batch["weight"])
    return learner.ema.model.eval()


def sampling(retriever: DiffusionRetriever, **settings: Any) -> Generate:
    """A retriever's ``generate`` with some of its settings."""
    return lambda z_q_BD, source: retriever.generate(z_q_BD, generator=source, **settings)


def trial_of(workspace: Path, task: Task) -> Trial:
    """A task's held-out queries at the tables' budget; no language model is asked."""
    config = EvaluationConfig(methods=("r4t_diffusion",), latency_batches=())
    engine = SharedEngine(_no_language_model)
    return open_trial(config, Workspace(workspace), task, engine=engine, reward=OARConfig(), seed=0)


def _no_language_model(folder: Path) -> Any:
    raise AssertionError(f"{folder} is asked for")


def scored(trial: Trial, generate: Generate, solver: SolverName, draws: int) -> dict[str, NDArray[np.float64]]:
    """Each held-out query's measures, means over draws.

    Args:
        trial: The queries and their pool.
        generate: What answers.
        solver: Whose rows they are like: those of a ranking solver are kept in their order.
        draws: Answers to each query, each from other noise.
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


def write_rows(options: argparse.Namespace, rows: Sequence[Any]) -> None:
    """Write a benchmark's rows where ``--out`` says, if anywhere, with what stands beside figures."""
    if options.out is None:
        return
    options.out.write_text(json.dumps({**provenance(options), "rows": [asdict(row) for row in rows]}, indent=1))
