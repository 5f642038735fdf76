"""One fan-out of the warm-start language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from r4t_ray.evaluation.answers import Answer, Index, Query, answers_of_directions
from r4t_ray.evaluation.bench import Bench, FanOut, Policy, PolicyName
from r4t_ray.evaluation.sub_queries import EncodeTexts, directions_of
from r4t_ray.types import TASKS, Array, Task


@dataclass(frozen=True)
class ZeroShot:
    """One fan-out of the language model before RL (folm/<task>/warm_start), sampled at the temperature.

    Directions are the embeddings of its sub-queries, each with its n nearest items.
    """

    task: Task
    index: Index
    k: int
    n: int
    temperature: float
    policy: Policy
    encode: EncodeTexts

    name: ClassVar[str] = "zero_shot"
    tasks: ClassVar[tuple[Task, ...]] = TASKS
    policy_name: ClassVar[PolicyName] = "warm_start"

    @classmethod
    def build(cls, bench: Bench) -> Self:
        """From the pool, the encoder and the policy of ``policy_name``."""
        policy = bench.policy(cls.policy_name)
        return cls(bench.task, bench.index, bench.k, bench.n, bench.temperature, policy, bench.encode)

    def generate(self, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[FanOut | None]:
        """One fan-out a query, parsed; None where it cannot be."""
        texts = [query.text for query in queries]
        sampled = self.policy.fan_out(self.task, texts, self.k, num_samples=1, temperature=self.temperature, seed=seed)
        return [samples[0] for samples in sampled]

    def fan_out(self, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
        """Generate, embed the sub-queries, search."""
        fan_outs = self.generate(queries, query_emb_BD, seed)
        directions = directions_of(fan_outs, self.encode, self.k, query_emb_BD.shape[1])
        return answers_of_directions(self.index, directions, self.n)
