"""The back-translation reward with a scorer that counts words: by hand, its properties, its cache, its settings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r4t_ray.rewards import BackTranslationConfig, BackTranslationReward, QueryLogProbs, Retrieved, oar_rubric
from r4t_ray.types import Array
from tests.rewards.batches import answers_of

TEXTS = ["red apple", "green apple", "red pear", "blue plum", "fig", "kiwi", "lime", "nut"]
EMB_MD = np.eye(8, dtype=np.float32)


class WordScorer:
    """ln p = ln(1 + the number of lines of the prompt that hold the query's first word), over two tokens."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, prompts: Sequence[str], queries: Sequence[str]) -> QueryLogProbs:
        self.asked += prompts
        counts = [
            sum(query.split()[0] in line for line in prompt.splitlines()[1:-1])
            for prompt, query in zip(prompts, queries, strict=True)
        ]
        return QueryLogProbs(np.log1p(counts).astype(np.float32), np.full(len(prompts), 2.0, np.float32))


def reward_of(scorer: WordScorer, **changes: float) -> BackTranslationReward:
    given = {"type": "back_translation", "gamma": 0.5, "num_random": 2} | changes
    return BackTranslationReward(BackTranslationConfig(**given), scorer, TEXTS)


def found(*sets: Sequence[int]) -> Retrieved:
    """Answers whose directions are the pool's own rows; -1 is a missing direction."""
    rows_Bk = np.array(sets)
    emb_BkD = np.where((rows_Bk >= 0)[..., None], EMB_MD[rows_Bk], 0).astype(np.float32)
    return Retrieved(
        query_emb_BD=np.repeat(EMB_MD[:1], len(rows_Bk), axis=0),
        sub_emb_BkD=emb_BkD,
        nearest_cos_Bk=np.where(rows_Bk >= 0, 1.0, np.nan).astype(np.float32),
        nearest_emb_BkD=emb_BkD,
        hit_rows_BkK=rows_Bk[..., None],
    )


def rewards(reward: BackTranslationReward, *sets: Sequence[int], query: str = "red fruit") -> Array:
    return reward(answers_of(found(*sets), queries=[query] * len(sets)))["reward"]


def test_reward_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = WordScorer()
    reward = reward_of(scorer)
    monkeypatch.setattr(reward, "random_sets", lambda query_id, k: [(0, 4), (5, 6)])
    output = oar_rubric(reward).score(answers_of(found([2, 0], [0, -1]), queries=["red fruit"] * 2))
    # Two and one lines hold "red": p = 3 and 2. The random sets have p = 2 and 1, 1.5 on average. T is 2.
    explained = [np.log(3 / 1.5) / 2, np.log(2 / 1.5) / 2]
    # Two orthogonal entries: Vendi / k = 1. One entry and a missing one: Vendi = 1.
    expected = [explained[0], explained[1] + 0.5 * np.log(0.5)]
    assert np.abs(output.total_B - expected).max() < 1e-6
    assert np.abs(output.breakdown["back_translation_explained"] - explained).max() < 1e-6
    assert output.breakdown["back_translation_vendi"].tolist() == [1.0, 0.5]
    # Four prompts were scored for two answers: two sets, and two random sets of their query. Rows are in pool order.
    assert output.breakdown["back_translation_calls"].tolist() == [2.0, 2.0]
    assert scorer.asked[0] == "Search results:\n- red apple\n- red pear\nSearch query:"


def test_a_set_is_asked_about_once_in_any_order_of_its_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = WordScorer()
    reward = reward_of(scorer)
    monkeypatch.setattr(reward, "random_sets", lambda query_id, k: [(1, 3), (5, 6)])
    first = reward(answers_of(found([0, 2, 4], [4, 0, 2], [0, 0, 2])))
    assert np.array_equal(first["reward"][:1], first["reward"][1:2])
    assert len(scorer.asked) == 2 + 2  # two distinct sets and two random ones
    second = reward(answers_of(found([2, 4, 0])))
    assert len(scorer.asked) == 4
    assert (second["calls"].tolist(), second["cached"].tolist()) == ([0.0], [1.0])
    assert reward.calls == 4
    assert reward.seconds > 0


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.integers(0, 7), min_size=4, max_size=4), place=st.integers(0, 3))
def test_a_missing_direction_never_helps(rows: list[int], place: int) -> None:
    """The scorer here never falls when an entry is added. A repeat may be left out under any scorer."""
    without = [-1 if i == place else row for i, row in enumerate(rows)]
    whole, part = rewards(reward_of(WordScorer()), rows, without)
    assert part <= whole + 1e-6


def test_random_sets_are_drawn_by_the_id_alone() -> None:
    reward = reward_of(WordScorer(), num_random=8)
    drawn = reward.random_sets("oar:soup", 3)
    assert [len(set(rows)) for rows in drawn] == [3] * 8
    assert all(list(rows) == sorted(rows) for rows in drawn)
    assert drawn == reward_of(WordScorer(), num_random=8).random_sets("oar:soup", 3) != reward.random_sets("oar:tea", 3)
    assert len(set(drawn)) > 4


def test_a_constant_answer_stays_below_a_quarter_of_the_answers_to_the_queries() -> None:
    """Each query has its own two entries. One set for all queries holds the entries of one of them."""
    words = ["red", "blue", "old", "raw", "dry", "hot"]
    texts = [f"{word} {noun}" for word in words for noun in ("tea", "jam")]
    config = BackTranslationConfig(type="back_translation", num_random=8)
    reward = BackTranslationReward(config, WordScorer(), texts)
    queries = [f"{word} thing" for word in words]

    def mean(sets: Sequence[Sequence[int]]) -> float:
        return float(reward.explained(queries, queries, sets, 2).mean())

    own = mean([(2 * i, 2 * i + 1) for i in range(6)])
    assert max(mean([(i, j)] * 6) for i in range(12) for j in range(i + 1, 12)) < own / 4


def test_settings_are_checked_and_long_texts_are_cut() -> None:
    with pytest.raises(ValueError, match=r"prompt must contain \{entries\}"):
        BackTranslationConfig(type="back_translation", prompt="Found:")
    config = BackTranslationConfig(type="back_translation", max_chars=7, prompt="{entries}")
    assert config.prompt_of(["a\n long  text"]) == "- a long "
