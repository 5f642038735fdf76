"""The best of five sampled fan-outs of the language model before reinforcement learning (RL)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.evaluation.answers import Answer
from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.methods.nearest_sets import neighbour_scores
from r4t_ray.evaluation.methods.zero_shot import WARM_START, answers_of_sub_queries, sample
from r4t_ray.evaluation.scores import geometric_scores
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query
    from r4t_ray.folm import SubQueries

NUM_SAMPLES = 5

Judge = Callable[[Bench, Answer, "Query", Array], float]
"""(bench, answer, query, z_q_D) -> how good the answer is."""


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The best of five fan-outs of the language model before RL (folm/<task>/warm_start).

    The best is the one with the highest reward that can be computed at query time. For oar that is the OAR reward
    itself. For wscr the query's reference is not known, so coverage is estimated on the sets of the 20 nearest
    training queries: the weight of an item is the sum of the cosines of the training queries whose set holds it.
    """
    return best_sample(bench, queries, query_emb_BD, seed, judge=judge_oar if bench.task == "oar" else judge_wscr)


def generate(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[list[SubQueries]]:
    """Five outputs a query, parsed."""
    return sample(bench, WARM_START, queries, NUM_SAMPLES, seed)


def best_sample(
    bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int, *, judge: Judge
) -> list[Answer]:
    """Generate, embed, search, and keep each query's answer that ``judge`` rates highest; ties go to the earlier."""
    sampled = generate(bench, queries, query_emb_BD, seed)
    candidates = iter(answers_of_sub_queries(bench, [output for samples in sampled for output in samples]))
    best = []
    for query, z_q_D, samples in zip(queries, query_emb_BD, sampled, strict=True):
        answers = [next(candidates) for _ in samples]
        best.append(answers[int(np.argmax([judge(bench, each, query, z_q_D) for each in answers]))])
    return best


def judge_oar(bench: Bench, answer: Answer, query: Query, query_emb_D: Array) -> float:
    """The OAR reward."""
    return geometric_scores(answer, query_emb_D, bench.index, bench.k, bench.reward)["oar_reward"]


def judge_wscr(bench: Bench, answer: Answer, query: Query, query_emb_D: Array) -> float:
    """Coverage of the sets of the nearest training queries."""
    weights_M = neighbour_scores(query_emb_D, bench.train_emb_BD, bench.train_references, len(bench.index.ids))
    return float(weights_M[sorted(answer.retrieved)].sum())


BEST_OF_5 = Method(name="best_of_5", answer=answer, model=WARM_START, generate=generate)
