"""One sampled fan-out of the language model that reinforcement learning trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method, ModelFolder
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods.zero_shot import answers_of_sub_queries, sample
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query
    from r4t_ray.folm import SubQueries


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """One sampled fan-out of the language model that Soft-GRPO trained (folm/<task>/model).

    The directions are the embeddings of its sub-queries. Each direction retrieves its n nearest items.
    """
    return answers_of_sub_queries(bench, generate(bench, queries, query_emb_BD, seed))


def generate(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[SubQueries]:
    """One parsed output per query."""
    return [samples[0] for samples in sample(bench, TRAINED, queries, 1, seed)]


TRAINED: ModelFolder = "folm/<task>/model"
R4T_FOLM = Method(name="r4t_folm", answer=answer, model=TRAINED, generate=generate)
