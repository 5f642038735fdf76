"""Kinds of items: sub-queries that cover a reference whose items no other set holds."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Item, Query, load_queries
from r4t_ray.folm.policy.prompt import parse_answer
from r4t_ray.folm.warm_start import kinds
from r4t_ray.folm.warm_start.examples import warm_start_examples, wscr_teacher
from r4t_ray.folm.warm_start.kinds import Wordings, answer, greedy_credit, phrases, wordings_of
from r4t_ray.folm.warm_start.settings import WarmStartConfig


def test_a_wording_is_the_query_a_shared_phrase_or_a_word_with_the_most_shared_one() -> None:
    query = Query(query_id="q", task="wscr", text="The summer Party", item_ids=("i",), split="train")
    own = phrases(Item(item_id="i", text="red linen dress", attributes={"price": 3}))
    found = dict(wordings_of(query, [own], Counter({"red": 1, "dress": 5, "linen dress": 2})))
    assert found == {
        "the summer party": "", "dress": "", "linen dress": "", "summer dress": "summer", "party dress": "party",
    }  # fmt: skip


def test_the_greedy_choice_counts_what_is_left_of_each_item() -> None:
    credit = np.array([[0.6, 0.6, 0.0], [0.9, 0.0, 0.0], [0.0, 0.0, 0.3], [0.0, 0.5, 0.0]])
    # First row 0 adds 1.2. Then row 1 adds 0.36, row 2 adds 0.3 and row 3 adds 0.2.
    assert greedy_credit(credit, 3) == [0, 1, 2]
    assert greedy_credit(np.zeros((2, 3)), 2) == []


def test_a_recombined_query_uses_words_that_it_holds_and_covers_both_references(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kinds, "KEPT_SHARE", 1.0)
    first = Wordings(["summer party", "summer dress", "party shoes"], ["", "summer", "party"], np.eye(3, 2, -1))
    second = Wordings(["winter trip", "boots"], ["", ""], np.eye(2, 1, -1))
    made = answer("Summer trip", [first, second], 10, random.Random(0))
    assert made == ["boots", "summer dress"]


def test_different_queries_get_different_answers_that_find_their_items(indexed_workspace: Workspace) -> None:
    config = WarmStartConfig(num_passes={"wscr": 2}, num_recombined={"wscr": 5}, teacher="kinds")
    examples = warm_start_examples(
        "wscr", indexed_workspace, config, k=3, num_hits=2, render=lambda _, query: query, seed=0
    )
    train = load_queries(indexed_workspace, "wscr", "train")
    answers = [parse_answer(example.completion, 3) for example in examples]
    assert 2 * len(train) < len(examples) <= 2 * len(train) + 5
    assert all(answers)
    assert len({example.completion for example in examples[: len(train)]}) > len(train) / 2


def test_items_decide_the_teacher(indexed_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wscr_teacher(WarmStartConfig(), indexed_workspace) == "votes"
    monkeypatch.setattr("r4t_ray.folm.warm_start.examples.recurrence", lambda queries: 0.2)
    assert wscr_teacher(WarmStartConfig(), indexed_workspace) == "kinds"
    assert wscr_teacher(WarmStartConfig(teacher="votes"), indexed_workspace) == "votes"
