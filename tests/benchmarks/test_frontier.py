"""The search at query time under a budget, and the table of the frontier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.harness import Result
from benchmarks.query_time_search import proposals, search
from benchmarks.tables.frontier import frontier_tables
from r4t_ray.catalogue import Query
from r4t_ray.evaluation.bench import Bench, Fits
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.scores import back_translation_scores
from r4t_ray.rewards import (
    BackTranslationConfig,
    BackTranslationReward,
    OARConfig,
    QueryLogProbs,
    SpecificConfig,
    SpecificReward,
)
from tests.evaluation.conftest import FlatIndex, unit

QUERY = Query(query_id="q", task="oar", text="a wish", item_ids=(), split="test")
NUM = 40


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def bench(asked: list[str]) -> Bench:
    """Forty items on a quarter of the circle, k = 3. The language model likes items with an even number."""

    def score(prompts: Any, queries: Any) -> QueryLogProbs:
        asked.extend(prompts)
        liked = [sum(line[-1] in "02468" for line in prompt.splitlines()[1:-1]) for prompt in prompts]
        return QueryLogProbs(np.array(liked, np.float32), np.ones(len(prompts), np.float32))

    given: dict[str, Any] = dict.fromkeys(
        ("solver", "num_steps", "guidance", "encode", "policy", "retriever", "decoder")
    )
    config = BackTranslationConfig(type="back_translation", num_random=2)
    return Bench(
        task="oar",
        index=FlatIndex(unit(*np.linspace(0, 90, NUM))),
        k=3,
        n=2,
        train_emb_BD=unit(0),
        train_references=[],
        val_queries=[],
        val_emb_BD=unit(0)[:0],
        fits=Fits(tuned={"mmr": 0.7}),
        reward=OARConfig(),
        specific=SpecificReward(config=SpecificConfig(), train_ids=["t"], train_emb_ND=unit(180)),
        back_translation=BackTranslationReward(config, score, [f"item {row}" for row in range(NUM)]),
        num_candidates=NUM,
        temperature=0.9,
        **given,
    )


def test_a_search_never_gets_worse_and_keeps_its_budget(bench: Bench, asked: list[str]) -> None:
    z_q_D = unit(10)[0]
    found = search(bench, QUERY, z_q_D, (1, 4, 60), seed=0)
    assert len(asked) <= 60 + 2 + 1, "60 sets, two random sets and the set that is asked about with them"
    reward = bench.back_translation
    assert reward is not None
    values = [back_translation_scores(reward, [found[budget].answer], [QUERY], bench)[0] for budget in (1, 4, 60)]
    assert values[0] <= values[1] <= values[2]
    assert values[2] > values[0], "swaps find the items that the language model likes"
    first = METHODS["mmr"].answer(bench, [QUERY], z_q_D[None], 0)[0]
    assert set(found[1].answer.top_rows) == set(first.top_rows)
    assert found[1].seconds <= found[4].seconds <= found[60].seconds


def test_proposals_are_k_distinct_entries_each(bench: Bench) -> None:
    drawn = list(proposals(bench, QUERY, unit(10)[0]))
    assert len(drawn) == 1 + 9
    assert all(len(set(rows.tolist())) == 3 for rows in drawn)


def test_the_table_is_sorted_by_time_and_compares_with_the_retriever() -> None:
    value = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 2}
    measures = dict.fromkeys(("reward", "explained", "theme_precision", "vendi"), value)
    rows = [
        {"method": "search, 10 calls", "queries": 2, "calls": 10, "ms": 3000.0, "ahead": measures, **measures},
        {"method": "r4t_diffusion", "queries": 2, "calls": 0, "ms": 5.0, **measures},
    ]
    (table,) = frontier_tables(Result(benchmark="frontier", rows=rows, facts={"ms_per_call": 300.0}))
    assert [line[0] for line in table.rows] == ["r4t_diffusion", "search, 10 calls"]
    assert [line[-1] for line in table.rows] == ["-", "0.500 [0.400, 0.600]"]
