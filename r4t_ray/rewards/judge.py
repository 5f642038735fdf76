"""A language model that judges the set, behind any OpenAI-compatible endpoint.

R4T is designed for such rewards, because they are too slow and expensive to maximise at query time. As in sec. 3 of
arXiv 2603.06397, the judge grades diversity, alignment and groundedness from 1 to 5, and does not know which method
made the set.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from r4t_ray.config import Operational, Settings
from r4t_ray.endpoints.chat import ChatEndpoint, json_fields
from r4t_ray.endpoints.key import key_of
from r4t_ray.rewards.answers import Answers
from r4t_ray.types import Array

CRITERIA = {
    "diversity": "the entries differ from each other and cover different readings of the request",
    "alignment": "each entry serves the request",
    "groundedness": "the entries fit together as one answer, nothing in it is out of place",
}
PROMPT = """Someone asked a catalogue for: {query}

It answered with this set:
{entries}

Grade the set from 1 (poor) to 5 (excellent) on each of:
{criteria}

Answer with one JSON object of whole numbers and nothing else: {example}"""

SetKey = tuple[str, tuple[int, ...]]


class JudgeConfig(Settings):
    """Adds ``weight`` times the judge's mean grade. Grades from 1 to 5 are scaled to 0 to 1."""

    type: Literal["judge"] = Field(description="Selects this reward.")
    base_url: str = Field(description="URL of the OpenAI-compatible endpoint, with its /v1.")
    model: str = Field(description="Name of the judging model at the endpoint.")
    weight: float = Field(1.0, description="Factor of the mean grade (0 to 1) in the total reward.")
    api_key_env: Operational[str] = Field(
        "OPENAI_API_KEY",
        description="Name of the environment variable that holds the key, so that no file contains the key. Set the "
        "variable to any text for an endpoint without keys.",
    )
    criteria: dict[str, str] = Field(CRITERIA, description="Criteria of the judge: name and explanation in the prompt.")
    is_structured: bool = Field(
        True,
        description="Ask the server to allow only the JSON object of grades (response_format json_schema). Turn it off "
        "for a server without this option.",
    )
    timeout_s: Operational[PositiveFloat] = Field(
        30.0, description="Seconds after which a call counts as failed. Raise it for a slow judge."
    )
    max_retries: Operational[NonNegativeInt] = Field(
        2, description="Retries of a failed call. An answer without a grade after them is dropped."
    )
    max_concurrency: Operational[PositiveInt] = Field(
        16, description="Calls that one rollout actor keeps open at once."
    )
    max_tokens: PositiveInt = Field(64, description="Longest reply in tokens. Raise it with the number of criteria.")
    max_calls: PositiveInt = Field(
        10_000,
        description="Budget of calls for the whole training run, without retries. Rollout actors share it evenly, and "
        "a restarted actor gets its share again. Answers beyond the budget are dropped.",
    )

    def build(self, share: float) -> JudgeReward:
        """A judge with ``share`` of the calls.

        Raises:
            ConfigError: The environment variable of the key is not set.
        """
        key = key_of(self.api_key_env, "folm.added_rewards: judge.api_key_env")
        return JudgeReward(self, key, max(1, int(self.max_calls * share)))


class JudgeReward:
    """Grades each set once: all sets of a batch concurrently, with a cache by query and set."""

    def __init__(self, config: JudgeConfig, key: str, max_calls: int) -> None:
        self._config, self._calls_left = config, max_calls
        self._endpoint = ChatEndpoint(
            base_url=config.base_url,
            model=config.model,
            key=key,
            key_from=f"the key of {config.api_key_env}",
            timeout_s=config.timeout_s,
            max_retries=config.max_retries,
            max_concurrency=config.max_concurrency,
        )
        self._cache: dict[SetKey, float] = {}

    def __call__(self, answers: Answers) -> dict[str, Array]:
        """The grade of each answer and its origin.

        An empty set gets 0 without a call. "reward" is NaN if the call failed after its retries, or if the budget of
        calls was spent.

        Returns:
            (B,) each: "reward"; "calls", 1 if a call was made for the answer; "cached", 1 if the grade was known;
            "failed", 1 if the call failed; "unasked", 1 if no call was left.

        Raises:
            ConfigError: The endpoint refuses the key or does not know the model.
        """
        keys = [(query, tuple(top)) for query, top in zip(answers.queries, answers.top_rows, strict=True)]
        is_known = [key in self._cache for key in keys]
        new = [key for key in dict.fromkeys(keys) if key[1] and key not in self._cache]
        asked, unasked = new[: self._calls_left], set(new[self._calls_left :])
        self._calls_left -= len(asked)
        prompts = [self._prompt(query, [answers.pool[row].text for row in top]) for query, top in asked]
        grades = dict(zip(asked, self._grade_all(prompts), strict=True))
        self._cache.update({key: grade for key, grade in grades.items() if grade is not None})
        first = {key: b for b, key in reversed(list(enumerate(keys)))}
        flags = {
            "calls": [key in grades and first[key] == b for b, key in enumerate(keys)],
            "cached": is_known,
            "failed": [key in grades and grades[key] is None for key in keys],
            "unasked": [key in unasked for key in keys],
        }
        reward = [self._cache.get(key, np.nan) if key[1] else 0.0 for key in keys]
        return {name: np.array(values, np.float32) for name, values in {"reward": reward, **flags}.items()}

    def _prompt(self, query: str, entries: Sequence[str]) -> str:
        return PROMPT.format(
            query=query,
            entries="\n".join(f"- {entry}" for entry in entries),
            criteria="\n".join(f"- {name}: {meaning}" for name, meaning in self._config.criteria.items()),
            example=json.dumps(dict.fromkeys(self._config.criteria, 3)),
        )

    def _grade_all(self, prompts: Sequence[str]) -> list[float | None]:
        config = self._config
        form = {"response_format": response_format(list(config.criteria))} if config.is_structured else {}
        replies = self._endpoint.ask(prompts, temperature=0.0, max_tokens=config.max_tokens, **form)
        return [None if reply.text is None else parse_grades(reply.text, list(config.criteria)) for reply in replies]


def response_format(criteria: Sequence[str]) -> dict[str, Any]:
    """The JSON schema of a reply: a whole number from 1 to 5 for each criterion."""
    grades = {name: {"type": "integer", "enum": [1, 2, 3, 4, 5]} for name in criteria}
    schema = {"type": "object", "properties": grades, "required": criteria, "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "grades", "schema": schema, "strict": True}}


def parse_grades(text: str, criteria: Sequence[str]) -> float | None:
    """The mean grade of a reply, scaled from 1..5 to 0..1; None if the reply is not the object of grades.

    >>> parse_grades('Here: {"diversity": 5, "alignment": 3}', ["diversity", "alignment"])
    0.75
    >>> parse_grades('{"diversity": 9, "alignment": 3}', ["diversity", "alignment"]) is None
    True
    """
    grades = json_fields(text)
    values: list[Any] = [grades.get(name) for name in criteria]
    if not all(isinstance(value, int) and 1 <= value <= 5 for value in values):
        return None
    return float(np.mean([(value - 1) / 4 for value in values]))
