"""Paired tests against the best cheap method, with hand-computed numbers."""

from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.report.comparisons import best_cheap, compare, is_cheap, is_trained, who_wins
from r4t_ray.evaluation.results import Result

NAN = float("nan")


def result(method: str, task: str = "wscr", **values: list[float]) -> Result:
    arrays = {name: np.array(of_B, dtype=np.float64) for name, of_B in values.items()}
    return Result(task=task, method=method, values=arrays, latency={}, answer_ms=1.0)


def test_a_trained_method_is_paired_with_the_best_cheap_method_of_its_format():
    results = [
        result("no_fanout", hit=[0.0, 0.0, 0.0, 0.4]),
        result("popular", hit=[0.1, 0.2, 0.3, 0.4]),
        result("popular_items", hit=[0.9, 0.9, 0.9, 0.9]),  # a list does not compete with directions
        result("best_of_5", hit=[0.8, 0.8, 0.8, 0.8]),  # reads a model, so it is not cheap
        result("r4t_folm", hit=[0.2, 0.3, 0.4, 0.5]),
        result("r4t_diffusion", hit=[0.2, 0.1, 0.2, 0.4]),
    ]
    found = compare(results, ["hit", "unmeasured"], 200, seed=0)
    assert [(one.format, one.trained, one.cheap) for one in found] == [
        ("directions", "r4t_folm", "popular"),
        ("directions", "r4t_diffusion", "popular"),
    ]
    # r4t_folm is 0.1 above for every query. A paired interval has no width, however much the queries differ.
    folm = found[0].difference
    assert (folm.value, folm.low, folm.high, folm.n) == (*[pytest.approx(0.1)] * 3, 4)
    assert found[1].difference.value == pytest.approx(-0.025)
    assert [one.verdict for one in found] == ["above", "unclear"]


def test_a_query_without_a_value_on_either_side_does_not_count():
    results = [result("no_fanout", hit=[0.5, NAN, 0.0, 0.5]), result("r4t_folm", hit=[0.1, 0.9, NAN, 0.3])]
    (one,) = compare(results, ["hit"], 100, seed=0)
    assert one.difference.value == pytest.approx((-0.4 - 0.2) / 2)
    assert one.difference.n == 2
    assert one.verdict == "below"
    apart = [result("no_fanout", hit=[0.5, NAN]), result("r4t_folm", hit=[NAN, 0.9])]
    assert compare(apart, ["hit"], 100, seed=0) == []


def test_the_best_cheap_method_has_values():
    results = [result("popular", hit=[NAN, NAN]), result("no_fanout", hit=[0.0, 0.1]), result("popular_items")]
    best = best_cheap(results, "directions", "hit")
    assert best is not None
    assert best.method == "no_fanout"
    assert best_cheap(results, "items", "hit") is None
    assert compare([result("r4t_folm", hit=[0.1, 0.2])], ["hit"], 100, seed=0) == []


@pytest.mark.parametrize(
    ("folm", "expected"),
    [
        ([0.6, 0.7, 0.8], "By hit, r4t_folm wins by 0.500 [0.500, 0.500] over no_fanout, the best cheap method."),
        (
            [0.0, 0.1, 0.2],
            "By hit, the cheap method no_fanout wins by 0.100 [0.100, 0.100] over r4t_folm.",
        ),
        ([0.1, 0.2, 0.3], "By hit, neither wins: r4t_folm minus no_fanout, the best cheap method, is +0.000 "),
    ],
)
def test_one_sentence_says_who_wins_and_by_how_much(folm: list[float], expected: str):
    results = [
        result("no_fanout", hit=[0.1, 0.2, 0.3]),
        result("r4t_folm", hit=folm),
        result("r4t_student", hit=[0.0, 0.0, 0.0]),
    ]
    ((answer_format, sentence),) = who_wins(compare(results, ["hit"], 100, seed=0))
    assert answer_format == "directions"
    assert sentence.startswith(expected)


def test_the_sentence_is_about_the_retriever_that_serves_even_if_a_slower_model_is_better():
    results = [
        result("no_fanout", hit=[0.1, 0.2, 0.3]),
        result("r4t_folm", hit=[0.9, 0.9, 0.9]),
        result("r4t_diffusion", hit=[0.2, 0.3, 0.4]),
    ]
    ((_, sentence),) = who_wins(compare(results, ["hit"], 100, seed=0))
    assert sentence.startswith("By hit, r4t_diffusion wins by 0.100 ")


def test_no_method_is_both_cheap_and_trained():
    assert {name for name, method in METHODS.items() if is_trained(method)} >= {"r4t_folm", "r4t_diffusion"}
    assert [name for name, method in METHODS.items() if is_trained(method) and is_cheap(method)] == []
    assert [name for name, method in METHODS.items() if name.endswith("_items") != (method.format == "items")] == []
