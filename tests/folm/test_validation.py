"""The reward of fixed validation queries: which are asked, when, with which seed, and the gain by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query, load_queries
from r4t_ray.encoders import resolve_model
from r4t_ray.folm.policy.loading import load_trainable
from r4t_ray.folm.validation import (
    BEST,
    NUM_SAMPLES,
    SEED,
    Validation,
    gain_line,
    kept_weights,
    read_validation,
    validation_gain,
    validation_queries,
)

QUERIES = [Query(query_id=f"q{number}", task="oar", text="soup", item_ids=(), split="val") for number in range(2)]


class Source:
    """Gives the reward that the trainer names, and NaN for the second answer of the first query."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def rewards_of(self, queries: Any, num_samples: int, seed: int, trainer: Any) -> list[float]:
        self.asked.append((len(queries), num_samples, seed))
        rewards = [trainer.reward] * (len(queries) * num_samples)
        return [rewards[0], math.nan, *rewards[2:]]


@pytest.fixture
def trainer(trainer_at: Callable[[Any, int], Any]) -> Any:
    """The part of a trainer that a validation uses, with the shipped model."""
    return trainer_at(load_trainable(resolve_model("package:r4t_ray/folm/base_model")), 0)


def test_the_same_queries_and_seed_are_asked_and_the_means_are_kept(tmp_path: Path, trainer: Any) -> None:
    source = Source()
    validation = Validation(queries=QUERIES, every=5, patience=None, source=source, folder=tmp_path)  # type: ignore[arg-type]
    assert [step for step in range(12) if validation.is_due(step)] == [0, 5, 10]
    trainer.reward = 0.25
    assert validation.run(0, trainer) == 0.25
    assert gain_line("oar", tmp_path) == ""
    trainer.reward = 0.75
    assert validation.run(10, trainer) == 0.75
    assert source.asked == [(2, NUM_SAMPLES, SEED)] * 2
    assert read_validation(tmp_path) == {"0": [0.25, 0.25], "10": [0.75, 0.75]}
    gain = validation_gain(tmp_path)
    assert gain is not None
    assert (gain.value, gain.low, gain.high, gain.n) == (0.5, 0.5, 0.5, 2)
    assert "0.2500 before and 0.7500 after RL, gain 0.5000 [0.5000, 0.5000]" in gain_line("oar", tmp_path)


def test_queries_without_a_reward_are_left_out_of_means_and_gain(tmp_path: Path, trainer: Any) -> None:
    answers = iter([[math.nan, math.nan, 0.2, 0.4], [0.9, 0.9, 0.5, math.nan], [0.9, 0.9, math.nan, math.nan]])
    source = SimpleNamespace(rewards_of=lambda *_: next(answers))
    validation = Validation(queries=QUERIES, every=5, patience=None, source=source, folder=tmp_path)  # type: ignore[arg-type]
    assert validation.run(0, trainer) == pytest.approx(0.3)
    validation.run(5, trainer)
    gain = validation_gain(tmp_path)
    assert gain is not None
    assert (gain.value, gain.n) == (pytest.approx(0.2), 1)
    assert "mean reward of 1 validation queries 0.3000 before and 0.5000 after RL" in gain_line("oar", tmp_path)
    assert validation.run(10, trainer) == pytest.approx(0.9)
    assert validation_gain(tmp_path) is None
    assert gain_line("oar", tmp_path) == ""


def test_nothing_is_measured_without_queries_or_with_0(tmp_path: Path) -> None:
    assert not Validation(queries=[], every=5, patience=None, source=Source(), folder=tmp_path).is_on  # type: ignore[arg-type]
    assert not Validation(queries=QUERIES, every=0, patience=None, source=Source(), folder=tmp_path).is_due(0)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_validation_queries_are_held_out_distinct_and_at_most_the_count(
    indexed_workspace: Workspace, count: int
) -> None:
    held_out = load_queries(indexed_workspace, "wscr", "val")
    chosen = validation_queries("wscr", indexed_workspace, count)
    assert len(chosen) == min(count, len(held_out)) == len({query.query_id for query in chosen})
    assert {query.split for query in chosen} == {"val"}


def test_the_weights_of_the_best_step_are_kept_and_patience_ends_the_run(tmp_path: Path, trainer: Any) -> None:
    source = SimpleNamespace(rewards_of=lambda queries, _, __, trainer: [trainer.reward] * (2 * len(queries)))
    validation = Validation(queries=QUERIES, every=5, patience=2, source=source, folder=tmp_path)  # type: ignore[arg-type]
    norm, seen = trainer.model.model.norm.weight, []
    for step, trainer.reward in [(0, 0.1), (5, 0.2), (10, 0.3), (5, 0.2), (10, 0.3), (15, 0.25), (20, 0.3)]:
        with torch.no_grad():
            norm.fill_(step)
        validation.run(step, trainer)
        seen.append(
            (validation.is_over, float(load_file(tmp_path / BEST / "model.safetensors")["model.norm.weight"][0]))
        )
    kept = [0.0, 5.0, 10.0, 5.0, 10.0, 10.0, 10.0]  # the run is resumed at step 5
    assert seen == [(False, step) for step in kept[:-1]] + [(True, 10.0)]
    assert kept_weights(tmp_path) == "the weights after step 10"


def test_without_patience_a_run_never_ends_early(tmp_path: Path, trainer: Any) -> None:
    source = SimpleNamespace(rewards_of=lambda queries, _, __, trainer: [trainer.reward] * (2 * len(queries)))
    validation = Validation(queries=QUERIES, every=1, patience=None, source=source, folder=tmp_path)  # type: ignore[arg-type]
    for step, trainer.reward in enumerate([0.9, 0.5, 0.4, 0.3, 0.2]):
        validation.run(step, trainer)
    assert not validation.is_over
    assert kept_weights(tmp_path) == "the weights of the warm start, which RL did not improve"
