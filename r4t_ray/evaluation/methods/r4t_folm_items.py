"""One sampled fan-out of the language model that reinforcement learning trained, as one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.decoding import list_answers
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods.r4t_folm import TRAINED
from r4t_ray.evaluation.methods.zero_shot import sample_once, sub_query_rows
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The k*n best items for the sub-queries of r4t_folm, as one list, as in r4t_diffusion_items.

    It fans out as r4t_folm does, so its latency is not measured.
    """
    sampled = sample_once(bench, TRAINED, queries, 1, seed)
    return list_answers(bench, query_emb_BD, sub_query_rows(bench, [samples[0] for samples in sampled]))


R4T_FOLM_ITEMS = Method(name="r4t_folm_items", answer=answer, format="items", model=TRAINED)
