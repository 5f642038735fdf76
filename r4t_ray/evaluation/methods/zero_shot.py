"""One sampled fan-out of the language model before reinforcement learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method, ModelFolder
from r4t_ray.evaluation.decoding import direction_answers
from r4t_ray.evaluation.method_answer import Answer, directions_of
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query
    from r4t_ray.folm import SubQueries


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """One sampled fan-out of the language model before reinforcement learning (folm/<task>/warm_start).

    The directions are the embeddings of its sub-queries. They retrieve items as the directions of r4t_diffusion do.
    """
    sampled = sample_once(bench, WARM_START, queries, 1, seed)
    return direction_answers(bench, query_emb_BD, sub_query_rows(bench, [samples[0] for samples in sampled]))


def generate(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[SubQueries]:
    """One parsed output per query."""
    return [samples[0] for samples in sample(bench, WARM_START, queries, 1, seed)]


def sample(
    bench: Bench, model: ModelFolder, queries: Sequence[Query], num_samples: int, seed: int
) -> list[list[SubQueries]]:
    """Sample ``num_samples`` parsed outputs per query from the language model."""
    texts = [query.text for query in queries]
    policy, temperature = bench.policy(model), bench.temperature
    return policy.fan_out(bench.task, texts, bench.k, num_samples=num_samples, temperature=temperature, seed=seed)


def sample_once(
    bench: Bench, model: ModelFolder, queries: Sequence[Query], num_samples: int, seed: int
) -> list[list[SubQueries]]:
    """As ``sample``. The rows of one model in both formats share the samples."""
    name = f"{model} {num_samples} {seed} {' '.join(query.query_id for query in queries)}"
    return bench.fits.get(name, lambda: sample(bench, model, queries, num_samples, seed))


def sub_query_rows(bench: Bench, outputs: Sequence[SubQueries]) -> list[Array]:
    """The embeddings of the sub-queries of every output; see ``directions_of``."""
    return directions_of(outputs, bench.encode, bench.k, bench.index.emb_MD.shape[1])


WARM_START: ModelFolder = "folm/<task>/warm_start"
ZERO_SHOT = Method(name="zero_shot", answer=answer, model=WARM_START, generate=generate)
