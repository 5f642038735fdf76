"""One sampled fan-out of the language model before reinforcement learning, as one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.decoding import list_answers
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods.zero_shot import WARM_START, sample_once, sub_query_rows
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The k*n best items for the sub-queries of zero_shot, as one list, as in r4t_diffusion_items.

    It fans out as zero_shot does, so its latency is not measured.
    """
    sampled = sample_once(bench, WARM_START, queries, 1, seed)
    return list_answers(bench, query_emb_BD, sub_query_rows(bench, [samples[0] for samples in sampled]))


ZERO_SHOT_ITEMS = Method(name="zero_shot_items", answer=answer, format="items", model=WARM_START)
