"""Search for the set of highest back-translation reward at query time, under a budget of reward calls.

The calls go to a list of sets. First comes the answer of MMR. Then come sets that maximise the specific reward, which
costs no call, with several candidates and weights of diversity. The calls that are left go to swaps: one entry of the
best set is exchanged for one of the nearest entries, and the new set is kept if its reward is higher.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from r4t_ray.catalogue import Query
from r4t_ray.evaluation.bench import Bench
from r4t_ray.evaluation.method_answer import Answer, answers_of_directions, nearest
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.scores import back_translation_scores
from r4t_ray.rewards.greedy import greedy_specific
from r4t_ray.types import Array, Rows

NUM_CANDIDATES = (30, 60, 120)
GAMMAS = (0.25, 0.5, 1.0)
SWAPPED_IN = 60
"""A swap takes one of this many nearest entries of the query."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The best answer after a number of reward calls, and the seconds until then."""

    answer: Answer
    seconds: float


def search(bench: Bench, query: Query, query_emb_D: Array, budgets: Sequence[int], seed: int) -> dict[int, Found]:
    """Search once; returns the best answer at each budget of calls.

    The random sets of the query are scored before the clock starts, because they do not decide between answers.
    """
    reward = bench.back_translation
    assert reward is not None
    reward.explained([query.query_id], [query.text], [[0]], bench.k)
    started, best_rows, best, found = time.perf_counter(), np.zeros(0, np.int64), -np.inf, {}
    tried = proposals(bench, query, query_emb_D)
    near = nearest(bench.index, query_emb_D[None], SWAPPED_IN)[0]
    rng = np.random.default_rng(seed)
    for call in range(1, max(budgets) + 1):
        rows = next(tried, None)
        if rows is None:
            rows = swapped(best_rows, near[near >= 0], rng)
        answer = answers_of_directions(bench.index, [bench.index.emb_MD[rows]], bench.n)[0]
        value = back_translation_scores(reward, [answer], [query], bench)[0]
        if value > best:
            best_rows, best, best_answer = rows, value, answer
        if call in budgets:
            found[call] = Found(answer=best_answer, seconds=time.perf_counter() - started)
    return found


def proposals(bench: Bench, query: Query, query_emb_D: Array) -> Iterator[Rows]:
    """Pool rows of the answer of MMR and of maxima of the specific reward."""
    assert bench.specific is not None
    yield METHODS["mmr"].answer(bench, [query], query_emb_D[None], 0)[0].top_rows
    near = nearest(bench.index, query_emb_D[None], max(NUM_CANDIDATES))[0]
    near = near[near >= 0]
    nearness_M = bench.specific.nearness(query.query_id, query_emb_D, bench.index.emb_MD[near])
    for gamma, num in product(GAMMAS, NUM_CANDIDATES):
        yield near[:num][greedy_specific(bench.index.emb_MD[near[:num]], nearness_M[:num], bench.k, gamma)]


def swapped(rows: Rows, near: Rows, rng: np.random.Generator) -> Rows:
    """The rows with one of them exchanged for a near row that is not among them, both drawn at random."""
    others = np.setdiff1d(near, rows)
    if not len(others):
        return rows
    changed = rows.copy()
    changed[rng.integers(len(rows))] = rng.choice(others)
    return changed
