"""The answers that the warm start teaches, and the order in which RL uses queries."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query, load_items, load_queries
from r4t_ray.errors import DataError
from r4t_ray.folm import run, train
from r4t_ray.folm.learner.settings import SoftGRPOConfig
from r4t_ray.folm.policy.prompt import Example, parse_answer, parse_fan_out
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.train import query_schedule
from r4t_ray.folm.warm_start import wscr as answers
from r4t_ray.folm.warm_start.examples import warm_start_examples
from r4t_ray.folm.warm_start.settings import WarmStartConfig
from r4t_ray.folm.warm_start.wscr import greedy_cover
from r4t_ray.rewards import SpecificConfig
from r4t_ray.rewards.coverage import membership
from r4t_ray.types import TASKS, Task


def examples_of(task: Task, workspace: Workspace, config: WarmStartConfig, *, k: int, num_hits: int) -> list[Example]:
    return warm_start_examples(
        task,
        workspace,
        config,
        reward=SpecificConfig(),
        k=k,
        num_hits=num_hits,
        style="compact",
        render=lambda _, query: query,
        seed=0,
    )


def test_wscr_answers_name_items_of_the_set(indexed_workspace: Workspace) -> None:
    config = WarmStartConfig(num_passes={"wscr": 2}, num_recombined={"wscr": 0}, own_weight=100.0, min_sets=2)
    wscr = {query.text: query for query in load_queries(indexed_workspace, "wscr", "train")}
    text_of = {item.item_id: item.text for item in load_items(indexed_workspace)}
    examples = examples_of("wscr", indexed_workspace, config, k=3, num_hits=1)
    assert len(examples) == 2 * len(wscr) > 5
    for example in examples:
        answer = parse_answer(example.completion, 10)
        assert set(answer or ()) == {text_of[name] for name in wscr[example.prompt].item_ids}


def test_oar_answers_are_distinct_rewrites_that_keep_a_word_of_the_theme(indexed_workspace: Workspace) -> None:
    config = WarmStartConfig(num_passes={"oar": 3}, num_recombined={"oar": 4})
    themes = [query.text for query in load_queries(indexed_workspace, "oar", "train")]
    examples = examples_of("oar", indexed_workspace, config, k=3, num_hits=1)
    assert [example.prompt for example in examples[: 3 * len(themes)]] == 3 * themes
    assert 3 * len(themes) < len(examples) <= 3 * len(themes) + 4
    answers = [parse_fan_out(e.completion, 9, task="oar", query=e.prompt, style="compact") or () for e in examples]
    for example, answer in zip(examples, answers, strict=True):
        assert 1 <= len(set(answer)) == len(answer) <= 3
        assert list(parse_answer(example.completion, 9) or ()) == sorted(parse_answer(example.completion, 9) or ())
        assert all(set(text.split()) & set(example.prompt.lower().split()) for text in answer), (example, answer)
    first, second = answers[: len(themes)], answers[len(themes) : 2 * len(themes)]
    assert first != second  # each pass draws its own candidates


def test_recombined_queries_are_answered_with_items_of_the_nearest_sets(indexed_workspace: Workspace) -> None:
    config = WarmStartConfig(num_recombined={"wscr": 12}, temperature=1e-3, min_sets=2)
    examples = examples_of("wscr", indexed_workspace, config, k=30, num_hits=1)
    train = load_queries(indexed_workspace, "wscr", "train")
    text_of = {item.item_id: item.text for item in load_items(indexed_workspace)}
    sets = [{text_of[name] for name in query.item_ids} for query in train]
    assert 0 < len(examples) <= 12
    assert not {example.prompt for example in examples} & {query.text for query in train}
    for example in examples:
        # Thirty searches of one item each are more than the nearest set needs, so the answer covers all of it.
        assert any(members <= set(parse_answer(example.completion, 30) or ()) for members in sets)


def test_blocks_of_queries_get_the_scores_of_all_queries(
    indexed_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = WarmStartConfig(num_passes={"wscr": 2}, num_recombined={"wscr": 12}, min_sets=2)
    made = []
    for size in (512, 3):
        monkeypatch.setattr(answers, "BLOCK", size)
        made.append(examples_of("wscr", indexed_workspace, config, k=3, num_hits=2))
    assert made[0] == made[1]


def test_many_training_sets_need_no_matrix_of_sets_and_sets_or_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "BLOCK", 16)
    num = 1500
    sets = [Query(query_id=str(n), task="wscr", text=f"set {n}", item_ids=(str(n),), split="train") for n in range(num)]
    emb_BD = np.random.default_rng(0).standard_normal((num, 4)).astype(np.float32)
    config = WarmStartConfig(num_passes={"wscr": 1}, num_recombined={"wscr": 0}, voter_share=1.0)
    tracemalloc.start()
    member_BM = membership([query.item_ids for query in sets], [query.query_id for query in sets])
    scores = answers._wanted_items(Workspace("unread"), config, sets, emb_BD, member_BM, seed=0)
    mean = np.mean([score_M.sum() for _, score_M in scores])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < num * num * 4 / 5
    assert mean == pytest.approx(1 + config.own_weight, abs=1e-5)  # each set names one item; the votes sum to 1


def test_a_warm_start_without_recurring_items_is_refused(indexed_workspace: Workspace) -> None:
    config = WarmStartConfig(min_sets=1000)
    with pytest.raises(DataError, match="min_sets"):
        examples_of("wscr", indexed_workspace, config, k=3, num_hits=1)


def test_the_schedule_uses_every_query_once_before_it_repeats_any(indexed_workspace: Workspace) -> None:
    config = FolmConfig(grpo={"wscr": {"num_steps": 50, "queries_per_step": 8, "num_recombined": 0}})
    schedule = query_schedule("wscr", config, indexed_workspace, seed=0)
    train = load_queries(indexed_workspace, "wscr", "train")
    assert len(schedule) == 400
    assert {query.query_id for query in schedule[: len(train)]} == {query.query_id for query in train}
    assert query_schedule("wscr", config, indexed_workspace, seed=0) == schedule
    assert query_schedule("wscr", config, indexed_workspace, seed=1) != schedule
    defaults = config.grpo.oar
    assert (
        len(query_schedule("oar", config, indexed_workspace, seed=0)) == defaults.num_steps * defaults.queries_per_step
    )


def test_recombined_queries_join_the_schedule_and_need_a_reward(indexed_workspace: Workspace) -> None:
    grpo = {"wscr": SoftGRPOConfig(num_steps=50, queries_per_step=8, num_recombined=7)}
    with pytest.raises(ValidationError, match="expected_share above 0"):
        FolmConfig(grpo=grpo, reward={"wscr": {"expected_share": 0.0}})
    config = FolmConfig(grpo=grpo)
    schedule = query_schedule("wscr", config, indexed_workspace, seed=0)
    train = load_queries(indexed_workspace, "wscr", "train")
    first = schedule[: len(train) + 7]
    assert {query.query_id for query in first} >= {query.query_id for query in train}
    assert sum(not query.item_ids for query in first) == 7


def test_a_finished_stage_is_skipped_where_its_engine_is_not_installed(
    indexed_workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(shutil.copytree(indexed_workspace.root, tmp_path / "workspace"))
    untrained = WarmStartConfig(num_passes={"oar": 0}, num_recombined={"oar": 0, "wscr": 0})
    config = FolmConfig(warm_start=untrained, grpo={task: SoftGRPOConfig(num_steps=0) for task in TASKS})
    made = run(config, workspace, seed=0)
    monkeypatch.setattr(train, "tell_engine", lambda config: pytest.fail("a finished stage asked for its engine"))
    assert run(config, workspace, seed=0).manifest == made.manifest


def test_greedy_cover_counts_each_item_once() -> None:
    hits = np.array([[0, 1], [1, 2], [2, 3], [3, 0]])
    # The hits of candidate 1 add 5 + 4. After that candidate 3 adds 1 + 3, candidate 2 adds 1, candidate 0 adds 3.
    assert greedy_cover(np.array([3, 5, 4, 1], np.float32), hits, 2) == [1, 3]
