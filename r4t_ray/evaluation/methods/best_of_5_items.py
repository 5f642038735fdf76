"""The best of five sampled fan-outs of the language model before reinforcement learning, as one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.decoding import list_answers
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods.best_of_5 import best_sample, judge_of
from r4t_ray.evaluation.methods.zero_shot import WARM_START
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """As best_of_5, except that each fan-out gives one list of k*n items, as in r4t_diffusion_items.

    It fans out as best_of_5 does, so its latency is not measured.
    """
    return best_sample(bench, queries, query_emb_BD, seed, judge=judge_of(bench), answers_of=list_answers)


BEST_OF_5_ITEMS = Method(name="best_of_5_items", answer=answer, format="items", model=WARM_START)
