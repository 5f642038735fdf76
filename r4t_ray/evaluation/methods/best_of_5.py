"""The best of five fan-outs of the warm-start language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from r4t_ray.evaluation.answers import Answer, Index, Query, answers_of_directions
from r4t_ray.evaluation.bench import Bench, FanOut, Policy
from r4t_ray.evaluation.scores import main_measure, score
from r4t_ray.evaluation.sub_queries import EncodeTexts, directions_of
from r4t_ray.rewards import OARConfig
from r4t_ray.types import TASKS, Array, Task

NUM_SAMPLES = 5


@dataclass(frozen=True)
class BestOf5:
    """Five fan-outs of the language model before RL (folm/warm_start); the best by the task's training reward.

    On oar that is the OAR reward, which a deployed system can compute. On wscr it is coverage of the query's
    reference: an oracle that no deployed system has, so there it is an upper bound and no baseline to deploy.
    """

    task: Task
    index: Index
    k: int
    n: int
    temperature: float
    policy: Policy
    encode: EncodeTexts
    reward: OARConfig

    name: ClassVar[str] = "best_of_5"
    tasks: ClassVar[tuple[Task, ...]] = TASKS

    @classmethod
    def build(cls, bench: Bench) -> BestOf5:
        """From the pool, the encoder, the warm-start policy and the reward's weights."""
        policy = bench.policy("warm_start")
        return cls(bench.task, bench.index, bench.k, bench.n, bench.temperature, policy, bench.encode, bench.reward)

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
            best.append(answers[int(np.argmax([self._reward(answer, query, z_q_D) for answer in answers]))])
        return best

    def _reward(self, answer: Answer, query: Query, query_emb_D: Array) -> float:
        scores = score(self.task, answer, query, query_emb_D, self.index, self.k, self.n, self.reward)
        return scores[main_measure(self.task, self.k, self.n)]
