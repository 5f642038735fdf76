"""One answer of the diffusion retriever as one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.decoding import list_answers
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods.r4t_diffusion import RETRIEVER, directions
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The k*n best items for r4t_diffusion's k directions, as one list.

    In oar these are the items with the highest cosine to any direction, in wscr those with the largest scores of the
    item decoder. The items are distributed round-robin over k directions. The directions are the embeddings of the
    first k items. It generates as r4t_diffusion does, so its latency is not measured.
    """
    return list_answers(bench, query_emb_BD, directions(bench, queries, query_emb_BD, seed))


R4T_DIFFUSION_ITEMS = Method(name="r4t_diffusion_items", answer=answer, format="items", model=RETRIEVER)
