"""Pairs of the offline optimiser: entries of the pool, fixed by query, sample and seed, and refused where undefined."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_queries, load_sets
from r4t_ray.experiment import Experiment
from r4t_ray.folm.rollout.query_scorer import QueryScorer
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.pairs.greedy import PickEntries
from r4t_ray.pairs.select import SelectBest
from r4t_ray.pairs.settings import PairsConfig
from r4t_ray.pairs.synthesize import WritePairs
from r4t_ray.rewards import BackTranslationConfig, QueryLogProbs

CONFIG = PairsConfig(policy={"oar": "greedy"}, num_candidates=4, num_rows=4)


@pytest.fixture(scope="module")
def workspace(indexed_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("greedy") / "workspace"
    shutil.copytree(indexed_workspace.root, root)
    workspace = Workspace(root)
    workspace.build("folm", FolmConfig(k=3, num_hits=2), 0, ["catalogue", "encoder", "index"], lambda folder: 1)
    return workspace


def row_of(workspace: Workspace, num_samples: int) -> dict[str, object]:
    queries = load_queries(workspace, "oar", "train")[:4]
    return {
        "file": "oar/000000.parquet",
        "task": "oar",
        "num_samples": num_samples,
        "query_id": [query.query_id for query in queries],
        "text": [query.text for query in queries],
        "split": ["train"] * len(queries),
        "item_ids": [[] for _ in queries],
    }


def test_every_direction_is_an_entry_of_the_pool(workspace: Workspace, tmp_path: Path) -> None:
    picker = PickEntries(str(workspace.root), CONFIG, seed=0)
    row = picker(row_of(workspace, 3))
    fan_outs = [answer for answers in map(json.loads, row["fan_outs"]) for answer in answers]
    assert all(len(set(answer)) == 3 and set(answer) <= set(picker._index.ids) for answer in fan_outs)
    (tmp_path / "oar").mkdir()
    written = WritePairs(str(workspace.root), CONFIG, str(tmp_path))
    samples = [json.loads(answers) for answers in row["fan_outs"]]
    queries = load_queries(workspace, "oar", "train")[:4]
    pairs, num_parsed = written._pairs("oar", queries, samples, written._entries["oar"], source="greedy")
    assert num_parsed == len(fan_outs)
    assert np.allclose(pairs.components["groundedness"], 1.0, atol=1e-3)
    assert (pairs.reward_N > 0).all()
    titles = {each.set_id: each.title for each in load_sets(workspace)}
    assert [[titles[name] for name in names] for names in pairs.item_ids] == pairs.sub_queries


def test_back_translation_chooses_among_the_picks_and_is_asked_only_where_it_can_choose(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scorer prefers prompts with a low sum of characters. Queries with one sample need no choice and no call."""
    root = shutil.copytree(workspace.root, tmp_path / "workspace")
    shutil.rmtree(root / "folm")
    opened, reward = Workspace(root), BackTranslationConfig(type="back_translation", num_random=1)
    folm = FolmConfig(k=3, num_hits=2, reward={"oar": reward})
    opened.build("folm", folm, 0, ["catalogue", "encoder", "index"], lambda folder: 1)
    asked: list[str] = []

    def score(prompts: Sequence[str], queries: Sequence[str]) -> QueryLogProbs:
        asked.extend(prompts)
        return QueryLogProbs(
            np.array([-sum(map(ord, prompt)) for prompt in prompts], np.float32), np.ones(len(prompts))
        )

    monkeypatch.setattr(QueryScorer, "__call__", lambda self, prompts, queries: score(prompts, queries))
    config = CONFIG.model_copy(update={"select": SelectBest(type="best", fraction=0.01)})
    queries, picker = load_queries(opened, "oar", "train")[:4], PickEntries(str(root), config, seed=0)
    for num_samples in (6, 1):
        answers = [json.loads(of_query) for of_query in picker(row_of(opened, num_samples))["fan_outs"]]
        asked.clear()
        pairs, _ = WritePairs(str(root), config, str(tmp_path))._pairs("oar", queries, answers, source="greedy")
        assert len(pairs.sample) == 4
        assert "back_translation_explained" in pairs.components
        assert "back_translation_seconds" not in pairs.components
        if num_samples == 1:
            assert not asked
            assert np.isnan(pairs.reward_N).all()
        else:
            distinct = [len({tuple(sorted(answer)) for answer in of_query}) for of_query in answers]
            assert 4 < len(asked) <= sum(distinct) + 4
            assert np.isfinite(pairs.reward_N).all()


def test_few_candidates_still_give_k_entries(workspace: Workspace) -> None:
    """A sample of 1 candidate draws at most 2, and k is 3."""
    config = CONFIG.model_copy(update={"num_candidates": 1})
    answers = [
        json.loads(one) for one in PickEntries(str(workspace.root), config, seed=0)(row_of(workspace, 2))["fan_outs"]
    ]
    assert {len(answer) for of_query in answers for answer in of_query} == {3}


def test_picks_depend_on_query_sample_and_seed_alone(workspace: Workspace) -> None:
    row = row_of(workspace, 2)
    one, again = (PickEntries(str(workspace.root), CONFIG, seed=1)(row)["fan_outs"] for _ in range(2))
    assert one == again
    parts = [{**row, "query_id": row["query_id"][i : i + 1], "text": row["text"][i : i + 1]} for i in range(4)]
    picker = PickEntries(str(workspace.root), CONFIG, seed=1)
    assert [picker(part)["fan_outs"][0] for part in reversed(parts)] == one[::-1]


def test_greedy_is_refused_where_there_is_no_reward_to_maximise() -> None:
    with pytest.raises(ValidationError, match=r"policy.wscr must be folm"):
        PairsConfig(policy={"wscr": "greedy"})
    slow = {"catalogue": {"type": "cookbook"}, "folm": {"reward": {"oar": {"type": "back_translation"}}}}
    with pytest.raises(ValidationError, match=r"set pairs.select to \{type: best"):
        Experiment.model_validate(slow)
    Experiment.model_validate(slow | {"pairs": {"select": {"type": "best", "fraction": 0.1}}})
    settings = {"catalogue": {"type": "cookbook"}, "folm": {"reward": {"oar": {"type": "paper"}}}}
    with pytest.raises(ValidationError, match=r"folm.reward.oar of type specific; set pairs.policy.oar to folm"):
        Experiment.model_validate(settings | {"pairs": {"policy": {"oar": "greedy"}}})
