"""The best of five fan-outs of the warm-start language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from r4t_ray.evaluation.answers import Answer, Index, Query, answers_of_directions
from r4t_ray.evaluation.bench import Bench, FanOut, Policy
from r4t_ray.evaluation.methods.nearest_sets import neighbour_scores
from r4t_ray.evaluation.scores import geometric_scores
from r4t_ray.evaluation.sub_queries import EncodeTexts, directions_of
from r4t_ray.rewards import OARConfig
from r4t_ray.types import TASKS, Array, Rows, Task

NUM_SAMPLES = 5


@dataclass(frozen=True)
class BestOf5:
    """Five fan-outs of the language model before RL (folm/<task>/warm_start); the best by what is known of the reward.

    On oar that is the OAR reward itself. On wscr nobody has the query's reference, so coverage is estimated on the
    sets of the 20 nearest training queries, an item weighing the summed cosines of those that hold it.
    """

    task: Task
    index: Index
    k: int
    n: int
    temperature: float
    policy: Policy
    encode: EncodeTexts
    reward: OARConfig
    train_emb_BD: Array
    train_references: Sequence[Rows]

    name: ClassVar[str] = "best_of_5"
    tasks: ClassVar[tuple[Task, ...]] = TASKS

    @classmethod
    def build(cls, bench: Bench) -> Self:
        """From the pool, the training sets, the encoder, the warm-start policy and the reward's weights."""
        return cls(
            bench.task,
            bench.index,
            bench.k,
            bench.n,
            bench.temperature,
            bench.policy("warm_start"),
            bench.encode,
            bench.reward,
            bench.train_emb_BD,
            bench.train_references,
        )

    def generate(self, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[list[FanOut | None]]:
        """Five fan-outs a query, parsed."""
        texts = [query.text for query in queries]
        return self.policy.fan_out(
            self.task, texts, self.k, num_samples=NUM_SAMPLES, temperature=self.temperature, seed=seed
        )

    def fan_out(self, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
        """Generate, embed, search, score by the training reward, keep the best; ties go to the earlier sample."""
        sampled = self.generate(queries, query_emb_BD, seed)
        flat = [fan_out for samples in sampled for fan_out in samples]
        directions = directions_of(flat, self.encode, self.k, query_emb_BD.shape[1])
        candidates = iter(answers_of_directions(self.index, directions, self.n))
        best = []
        for query, z_q_D, samples in zip(queries, query_emb_BD, sampled, strict=True):
            answers = [next(candidates) for _ in samples]
            best.append(answers[int(np.argmax(self._rewards(answers, query, z_q_D)))])
        return best

    def _rewards(self, answers: Sequence[Answer], query: Query, query_emb_D: Array) -> list[float]:
        if self.task == "oar":
            scored = [geometric_scores(answer, query_emb_D, self.index, self.k, self.reward) for answer in answers]
            return [scores["oar_reward"] for scores in scored]
        weights_M = neighbour_scores(query_emb_D, self.train_emb_BD, self.train_references, len(self.index.ids))
        return [float(weights_M[sorted(answer.retrieved)].sum()) for answer in answers]
