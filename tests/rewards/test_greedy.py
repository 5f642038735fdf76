"""Greedy picks are, step by step, those that an exhaustive evaluation of the reward would make."""

from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.rewards.greedy import greedy_specific
from r4t_ray.rewards.specific import specific_components
from r4t_ray.types import Array, Rows


def reward_of(emb_MD: Array, near_M: Array, picks: list[int], k: int, gamma: float) -> float:
    """The reward of an answer with these entries and k - P missing directions."""
    emb_1kD, near_1k, cos_1k = np.zeros((1, k, emb_MD.shape[1])), np.zeros((1, k)), np.full((1, k), np.nan)
    emb_1kD[0, : len(picks)], near_1k[0, : len(picks)], cos_1k[0, : len(picks)] = emb_MD[picks], near_M[picks], 1.0
    return float(specific_components(cos_1k, emb_1kD, near_1k, gamma=gamma)["specific"][0])


def random_candidates(seed: int, num: int = 9) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    emb_MD = rng.normal(size=(num, 4)) + 0.5
    return emb_MD / np.linalg.norm(emb_MD, axis=1, keepdims=True), rng.random(num)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_every_pick_raises_the_reward_most(seed: int, gamma: float) -> None:
    emb_MD, near_M = random_candidates(seed)
    picks: Rows = greedy_specific(emb_MD, near_M, 4, gamma)
    assert len(set(picks.tolist())) == 4
    for step in range(4):
        before = picks[:step].tolist()
        tried = [reward_of(emb_MD, near_M, [*before, m], 4, gamma) if m not in before else -1.0 for m in range(9)]
        assert tried[picks[step]] == pytest.approx(max(tried), abs=1e-6)


def test_without_diversity_the_nearest_are_picked_in_order() -> None:
    emb_MD, near_M = random_candidates(1)
    assert greedy_specific(emb_MD, near_M, 5, 0.0).tolist() == np.argsort(-near_M)[:5].tolist()


def test_fewer_candidates_than_k_are_all_picked() -> None:
    emb_MD, near_M = random_candidates(2, num=3)
    assert sorted(greedy_specific(emb_MD, near_M, 10, 0.5).tolist()) == [0, 1, 2]
    assert greedy_specific(emb_MD[:0], near_M[:0], 10, 0.5).tolist() == []
