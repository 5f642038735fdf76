"""The best of five sampled fan-outs of the language model before reinforcement learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods.nearest_sets import neighbour_scores
from r4t_ray.evaluation.methods.zero_shot import WARM_START, answers_of_sub_queries, sample
from r4t_ray.evaluation.scores import back_translation_scores, geometric_scores, specific_score
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query
    from r4t_ray.folm import SubQueries

NUM_SAMPLES = 5

Judge = Callable[[Bench, Answer, "Query", Array], float]
"""(bench, answer, query, z_q_D) -> score of the answer; higher is better."""


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The best of five sampled fan-outs of the language model before reinforcement learning (folm/<task>/warm_start).

    The best fan-out has the highest reward that can be computed at query time. In oar (open-ended abstract retrieval)
    this is the OAR reward. In wscr (weakly supervised compositional retrieval) the query's reference is not known, so
    coverage is estimated on the sets of the 20 nearest training queries. Each of these queries adds its cosine to the
    weight of every item in its set.
    """
    return best_sample(bench, queries, query_emb_BD, seed, judge=judge_oar if bench.task == "oar" else judge_wscr)


def generate(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[list[SubQueries]]:
    """Five parsed outputs per query."""
    return sample(bench, WARM_START, queries, NUM_SAMPLES, seed)


def best_sample(
    bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int, *, judge: Judge
) -> list[Answer]:
    """Generate, embed and search, then keep the answer of each query with the highest ``judge`` score.

    The earlier of two equal answers is kept.
    """
    sampled = generate(bench, queries, query_emb_BD, seed)
    candidates = iter(answers_of_sub_queries(bench, [output for samples in sampled for output in samples]))
    best = []
    for query, z_q_D, samples in zip(queries, query_emb_BD, sampled, strict=True):
        answers = [next(candidates) for _ in samples]
        best.append(answers[int(np.argmax([judge(bench, each, query, z_q_D) for each in answers]))])
    return best


def judge_oar(bench: Bench, answer: Answer, query: Query, query_emb_D: Array) -> float:
    """The OAR reward of an answer, of the kind that the run was trained on."""
    if bench.back_translation is not None:
        return float(back_translation_scores(bench.back_translation, [answer], [query], bench)[0])
    if bench.specific is not None:
        return specific_score(bench.specific, answer, query, query_emb_D, bench)
    return geometric_scores(answer, query_emb_D, bench.index, bench.k, bench.reward)["oar_reward"]


def judge_wscr(bench: Bench, answer: Answer, query: Query, query_emb_D: Array) -> float:
    """The estimated coverage: summed weights of the answer's items in the nearest training queries' sets."""
    weights_M = neighbour_scores(query_emb_D, bench.train_emb_BD, bench.train_references, len(bench.index.ids))
    return float(weights_M[sorted(answer.retrieved)].sum())


BEST_OF_5 = Method(name="best_of_5", answer=answer, model=WARM_START, generate=generate)
