"""One sampled fan-out of the language model that reinforcement learning trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method, ModelFolder
from r4t_ray.evaluation.decoding import direction_answers
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods.zero_shot import sample, sample_once, sub_query_rows
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query
    from r4t_ray.folm import SubQueries


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """One sampled fan-out of the language model that Soft-GRPO trained (folm/<task>/model).

    The directions are the embeddings of its sub-queries. They retrieve items as the directions of r4t_diffusion do.
    """
    sampled = sample_once(bench, TRAINED, queries, 1, seed)
    return direction_answers(bench, query_emb_BD, sub_query_rows(bench, [samples[0] for samples in sampled]))


def generate(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[SubQueries]:
    """One parsed output per query."""
    return [samples[0] for samples in sample(bench, TRAINED, queries, 1, seed)]


TRAINED: ModelFolder = "folm/<task>/model"
R4T_FOLM = Method(name="r4t_folm", answer=answer, model=TRAINED, generate=generate)
