"""One sampled fan-out of the language model before reinforcement learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method, ModelFolder
from r4t_ray.evaluation.method_answer import Answer, answers_of_directions, directions_of
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query
    from r4t_ray.folm import SubQueries


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """One sampled fan-out of the language model before reinforcement learning (folm/<task>/warm_start).

    The directions are the embeddings of its sub-queries. Each direction retrieves its n nearest items.
    """
    return answers_of_sub_queries(bench, generate(bench, queries, query_emb_BD, seed))


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


def answers_of_sub_queries(bench: Bench, outputs: Sequence[SubQueries]) -> list[Answer]:
    """Embed the sub-queries of every output and search them."""
    directions = directions_of(outputs, bench.encode, bench.k, bench.index.emb_MD.shape[1])
    return answers_of_directions(bench.index, directions, bench.n)


WARM_START: ModelFolder = "folm/<task>/warm_start"
ZERO_SHOT = Method(name="zero_shot", answer=answer, model=WARM_START, generate=generate)
