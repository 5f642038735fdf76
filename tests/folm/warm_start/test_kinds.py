"""Kinds of items: sub-queries that cover a reference whose items no other set holds."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Item, load_queries
from r4t_ray.folm.policy.prompt import parse_answer
from r4t_ray.folm.warm_start import kinds
from r4t_ray.folm.warm_start.examples import warm_start_examples, wscr_teacher
from r4t_ray.folm.warm_start.kinds import Kinds, answer, greedy_credit, kinds_of, phrases, with_kind
from r4t_ray.folm.warm_start.settings import WarmStartConfig
from r4t_ray.rewards import SpecificConfig


def test_kinds_are_the_most_shared_phrases_of_each_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "KINDS_OF_ITEM", 2)
    dress = phrases(Item(item_id="i", text="red linen dress", attributes={"price": 3}))
    shoes = phrases(Item(item_id="j", text="linen shoes", attributes={"category": "Flat Shoes"}))
    counts = Counter({"red": 1, "dress": 5, "linen": 4, "linen dress": 2, "flat shoes": 3, "linen shoes": 1})
    assert kinds_of([dress, shoes], counts) == ["", "dress", "linen", "flat shoes"]


def test_kinds_are_spelled_as_people_spell_them_in_every_script() -> None:
    bowl = phrases(Item(item_id="i", text="ガラスの器", attributes={"材料": "Verre Trempé"}))
    assert bowl[:2] == ["ガラスの器", "verre trempé"]
    assert {"ガラス", "ラスの器"} <= set(bowl)
    assert not [phrase for phrase in bowl if phrase.endswith("の")]
    assert phrases(Item(item_id="i", text="Hindi हिन्दी रसोई")) == [
        "hindi", "हिन्दी", "रसोई", "hindi हिन्दी", "हिन्दी रसोई",
    ]  # fmt: skip
    assert with_kind("Café d’été", "tasse") == "tasse café été"


def test_the_greedy_choice_counts_what_is_left_of_each_item() -> None:
    credit = np.array([[0.6, 0.6, 0.0], [0.9, 0.0, 0.0], [0.0, 0.0, 0.3], [0.0, 0.5, 0.0]])
    # First row 0 adds 1.2. Then row 1 adds 0.36, row 2 adds 0.3 and row 3 adds 0.2.
    assert greedy_credit(credit, 3) == [0, 1, 2]
    assert greedy_credit(np.array([[0.0], [0.0], [0.2], [0.0]]), 3) == [2, 0, 1]  # the first ones fill up


def test_a_recombined_query_covers_both_references_with_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "KEPT_SHARE", 1.0)
    first = Kinds(["", "dress", "shoes", "hat"], np.array([[0, 0], [1, 0], [0, 1], [0, 0]]))
    second = Kinds(["", "boots"], np.array([[0.0], [0.5]]))
    assert answer("Summer trip", [first, second], 3, random.Random(0)) == [
        "boots summer trip", "dress summer trip", "shoes summer trip",
    ]  # fmt: skip


def test_different_queries_get_different_answers_that_find_their_items(indexed_workspace: Workspace) -> None:
    config = WarmStartConfig(num_passes={"wscr": 2}, num_recombined={"wscr": 5}, teacher="kinds")
    examples = warm_start_examples(
        "wscr",
        indexed_workspace,
        config,
        reward=SpecificConfig(),
        k=3,
        num_hits=2,
        style="compact",
        render=lambda _, query: query,
        seed=0,
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
