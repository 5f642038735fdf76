"""The best of five sampled fan-outs of the language model before reinforcement learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.decoding import direction_answers
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods.nearest_sets import neighbour_scores
from r4t_ray.evaluation.methods.zero_shot import WARM_START, sample, sample_once, sub_query_rows
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
    return best_sample(bench, queries, query_emb_BD, seed, judge=judge_of(bench))


def generate(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[list[SubQueries]]:
    """Five parsed outputs per query."""
    return sample(bench, WARM_START, queries, NUM_SAMPLES, seed)


def judge_of(bench: Bench) -> Judge:
    """The judge of a task that can be computed at query time."""
    return judge_oar if bench.task == "oar" else judge_wscr


def best_sample(
    bench: Bench,
    queries: Sequence[Query],
    query_emb_BD: Array,
    seed: int,
    *,
    judge: Judge,
    answers_of: Callable[[Bench, Array, Sequence[Array]], list[Answer]] = direction_answers,
) -> list[Answer]:
    """Generate, embed and search, then keep the answer of each query with the highest ``judge`` score.

    The earlier of two equal answers is kept.

    Args:
        bench: The pool, the models and the budget.
        queries: The queries.
        query_emb_BD: Their unit embeddings.
        seed: Seed of the samples.
        judge: Scores an answer.
        answers_of: Makes answers from the directions of each sample, in one of the two formats.
    """
    sampled = sample_once(bench, WARM_START, queries, NUM_SAMPLES, seed)
    rows = sub_query_rows(bench, [output for samples in sampled for output in samples])
    sizes = [len(samples) for samples in sampled]
    candidates = iter(answers_of(bench, np.repeat(query_emb_BD, sizes, axis=0), rows))
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
