"""Embedding and searching a batch of answers gives the same result as each answer alone."""

from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_queries
from r4t_ray.folm.rollout.task_rewards import TaskRewards, retrieve
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.rewards.constraint import ConstraintConfig

ANSWERS = [("salt", "lentil", "basil"), None, ("lentil", "salt"), ("rice", "rice", "lentil\0"), ("lentil", "garlic")]


def test_texts_that_answers_share_are_searched_once_with_the_same_hits(indexed_workspace: Workspace) -> None:
    rewards = TaskRewards(indexed_workspace, FolmConfig(k=3, num_hits=2))
    index, encoder = rewards.indexes["wscr"], rewards.encoder
    query_emb_BD = encoder.encode(["soup", "stew", "pie", "salad", "curry"])
    together = retrieve(encoder, index, query_emb_BD, ANSWERS, k=3, num_hits=2)
    for b, answer in enumerate(ANSWERS):
        alone = retrieve(encoder, index, query_emb_BD[b : b + 1], [answer], k=3, num_hits=2)
        assert np.array_equal(together.hit_rows_BkK[b], alone.hit_rows_BkK[0])
        for name in ("sub_emb_BkD", "nearest_cos_Bk", "nearest_emb_BkD"):
            assert np.allclose(getattr(together, name)[b], getattr(alone, name)[0], atol=1e-5, equal_nan=True), name
    names = [index.ids[row] for row in together.hit_rows_BkK[0, :, 0]]
    assert names == ["i-salt", "i-lentil", "i-basil"]

    searched: list[int] = []
    retrieve(encoder, Counting(index, searched), query_emb_BD, ANSWERS, k=3, num_hits=2)
    assert searched == [len({text for answer in ANSWERS for text in answer or ()})]


def test_expected_items_come_from_the_sets_of_other_queries(indexed_workspace: Workspace) -> None:
    config = FolmConfig(k=3, num_hits=1, reward={"wscr": {"expected_share": 0.5, "temperature": 0.01}})
    queries = load_queries(indexed_workspace, "wscr", "train")[:2]
    _, output = TaskRewards(indexed_workspace, config).score("wscr", queries, [("salt", "garlic", "basil"), None])
    assert list(output.breakdown)[3:] == ["coverage", "expected", "parsed", "distinct"]
    assert output.breakdown["parsed"].tolist() == [1.0, 0.0]
    assert output.breakdown["distinct"].tolist() == [1.0, 0.0]
    assert 0 < output.breakdown["expected"][0] < 1
    assert output.breakdown["expected"][1] == 0
    expected = 0.5 * output.breakdown["coverage"] + 0.5 * output.breakdown["expected"]
    assert output.total_B.tolist() == pytest.approx(expected.tolist())


def test_an_added_reward_reads_the_entries_of_its_own_task(indexed_workspace: Workspace) -> None:
    added = {"wscr": (ConstraintConfig(type="constraint", attribute="text", max_per_value=1),)}
    rewards = TaskRewards(indexed_workspace, FolmConfig(k=3, num_hits=1, added_rewards=added))
    assert [each.name for each in rewards.rubrics["wscr"].rewards if each.name] == ["constraint"]
    assert not [each.name for each in rewards.rubrics["oar"].rewards if each.name]
    assert list(rewards._pool) == ["wscr"]
    assert rewards._pool["wscr"][0].text


class Counting:
    """An index that records the number of rows of each search."""

    def __init__(self, index: object, searched: list[int]) -> None:
        self._index, self._searched = index, searched

    def __getattr__(self, name: str) -> object:
        return getattr(self._index, name)

    def search(self, q_BD: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        self._searched.append(len(q_BD))
        return self._index.search(q_BD, k)
