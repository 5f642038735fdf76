"""The answers that the warm start teaches, and the order in which RL takes queries."""

from __future__ import annotations

import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_items, load_queries
from r4t_ray.errors import DataError
from r4t_ray.folm.prompt import parse_answer
from r4t_ray.folm.settings import FolmConfig, SoftGRPOConfig
from r4t_ray.folm.train import query_schedule
from r4t_ray.folm.warm_start import WarmStartConfig, warm_start_examples


def test_answers_name_items_of_the_set_first_and_titles_of_the_training_sets(indexed_workspace: Workspace) -> None:
    config = WarmStartConfig(wscr_passes=2, oar_passes=3, own_weight=100.0)
    examples = warm_start_examples(indexed_workspace, config, 3, 1, lambda task, query: f"{task}|{query}", seed=0)
    wscr = {query.text: query for query in load_queries(indexed_workspace, "wscr", "train")}
    oar = load_queries(indexed_workspace, "oar", "train")
    text_of = {item.item_id: item.text for item in load_items(indexed_workspace)}
    assert len(examples) == 2 * len(wscr) + 3 * len(oar) > 20
    for example in examples:
        task, _, text = example.prompt.partition("|")
        answer = parse_answer(example.completion, 10)
        assert answer is not None
        if task == "wscr":
            assert set(answer) == {text_of[name] for name in wscr[text].item_ids}
        else:
            assert set(answer) <= {title.lower() for title in wscr}


def test_an_item_that_recurs_nowhere_is_named_nowhere(indexed_workspace: Workspace) -> None:
    config = WarmStartConfig(min_sets=1000)
    with pytest.raises(DataError, match="min_sets"):
        warm_start_examples(indexed_workspace, config, 3, 1, lambda task, query: query, seed=0)


def test_the_schedule_mixes_tasks_and_uses_every_query_before_any_again(indexed_workspace: Workspace) -> None:
    config = FolmConfig(grpo=SoftGRPOConfig(steps=50, queries_per_step=8, oar_share=0.25))
    schedule = query_schedule(config, indexed_workspace, seed=0)
    task_of = {query.query_id: query.task for query in load_queries(indexed_workspace)}
    assert len(schedule) == 400
    for start in range(0, 400, 8):
        assert [task_of[name] for name in schedule[start : start + 8]].count("oar") == 2
    wscr = [name for name in schedule if task_of[name] == "wscr"]
    train = {query.query_id for query in load_queries(indexed_workspace, "wscr", "train")}
    assert set(wscr[: len(train)]) == train
    assert query_schedule(config, indexed_workspace, seed=0) == schedule
    assert query_schedule(config, indexed_workspace, seed=1) != schedule
