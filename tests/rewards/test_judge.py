"""The judge against a local HTTP server that answers, fails, stalls or refuses as planned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from r4t_ray.errors import ConfigError
from r4t_ray.rewards import Answers, PoolEntry
from r4t_ray.rewards.judge import JudgeConfig, JudgeReward
from tests.endpoints.chat_server import ChatServer, serving
from tests.rewards.batches import answers_of_rows

KEY = "R4T_TEST_JUDGE_KEY"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """Grades every set 5, 4, 3."""
    monkeypatch.setenv(KEY, "a-secret")
    with serving(lambda prompt: '{"diversity": 5, "alignment": 4, "groundedness": 3}') as server:
        yield server


def judge(endpoint: ChatServer, share: float = 1.0, **settings: Any) -> JudgeReward:
    asked = {"type": "judge", "base_url": endpoint.url, "model": "judge", "api_key_env": KEY, "max_retries": 0}
    return JudgeConfig.model_validate(asked | settings).build(share)


def make_answers(*sets: list[int], query: str = "a picnic") -> Answers:
    """Answers with the given nearest pool row of each direction; -1 marks a missing direction."""
    answers = answers_of_rows(
        sets, [("x",)] * len(sets), [PoolEntry(text=f"entry {row}", attributes={}) for row in range(20)]
    )
    return replace(answers, queries=[query] * len(sets))


def test_a_set_is_graded_once_in_any_order(endpoint: ChatServer) -> None:
    reward = judge(endpoint)
    parts = reward(make_answers([0, 1], [1, 0], [0, 2]))
    assert parts["reward"].tolist() == [0.75, 0.75, 0.75]  # grades 5, 4, 3: 1, 0.75 and 0.5
    assert parts["calls"].tolist() == [1, 0, 1]
    assert len(endpoint.seen) == 2
    again = reward(make_answers([1, 0], [3, 4]))
    assert again["cached"].tolist() == [1, 0]
    assert again["calls"].tolist() == [0, 1]
    assert len(endpoint.seen) == 3
    assert reward(make_answers([0, 1], query="a feast"))["calls"].tolist() == [1]


def test_the_judge_gets_the_query_and_the_entries_and_a_response_format(endpoint: ChatServer) -> None:
    judge(endpoint)(make_answers([7, 3]))
    (seen,) = endpoint.seen
    text = seen["messages"][0]["content"]
    assert "a picnic" in text
    assert text.index("entry 3") < text.index("entry 7")
    assert "entry 4" not in text
    assert seen["key"] == "Bearer a-secret"
    assert "a-secret" not in text
    assert seen["response_format"]["json_schema"]["schema"]["required"] == ["diversity", "alignment", "groundedness"]
    judge(endpoint, is_structured=False)(make_answers([1, 2]))
    assert "response_format" not in endpoint.seen[1]


def test_an_empty_set_gets_zero_without_a_call(endpoint: ChatServer) -> None:
    parts = judge(endpoint)(make_answers([-1, -1], [0, -1]))
    assert parts["reward"].tolist() == [0.0, 0.75]
    assert len(endpoint.seen) == 1


@pytest.mark.parametrize("fault", [500, 2.0, "no grades here", '{"diversity": 6, "alignment": 4, "groundedness": 3}'])
def test_a_failed_call_gives_no_grade_is_counted_and_is_repeated_in_the_next_batch(
    endpoint: ChatServer, fault: int | float | str
) -> None:
    endpoint.plan = {0: fault}
    reward = judge(endpoint, timeout_s=0.5, max_concurrency=1)
    parts = reward(make_answers([0, 1], [2, 3]))
    assert np.isnan(parts["reward"]).tolist() == [True, False]
    assert parts["failed"].tolist() == [1, 0]
    again = reward(make_answers([0, 1], [2, 3]))
    assert again["reward"].tolist() == [0.75, 0.75]
    assert again["calls"].tolist() == [1, 0]


def test_a_call_is_retried(endpoint: ChatServer) -> None:
    endpoint.plan = {0: 500, 1: 503}
    assert judge(endpoint, max_retries=2)(make_answers([0, 1]))["reward"].tolist() == [0.75]
    assert len(endpoint.seen) == 3


def test_calls_beyond_the_budget_are_counted_but_not_made(endpoint: ChatServer) -> None:
    reward = judge(endpoint, share=0.5, max_calls=4)
    parts = reward(make_answers([0, 1], [2, 3], [4, 5]))
    assert parts["unasked"].tolist() == [0, 0, 1]
    assert np.isnan(parts["reward"]).tolist() == [False, False, True]
    assert reward(make_answers([6, 7], [0, 1]))["unasked"].tolist() == [1, 0]
    assert len(endpoint.seen) == 2


def test_the_number_of_open_calls_stays_within_the_limit(endpoint: ChatServer) -> None:
    judge(endpoint, max_concurrency=3)(make_answers(*([row, row + 1] for row in range(12))))
    assert len(endpoint.seen) == 12
    assert 1 < endpoint.most_at_once <= 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_raises_an_error_without_the_key_in_its_text(endpoint: ChatServer, status: int) -> None:
    endpoint.plan = dict.fromkeys(range(9), status)
    with pytest.raises(ConfigError, match=f"HTTP {status}.*the key of {KEY}.*check the address") as error:
        judge(endpoint)(make_answers([0, 1]))
    assert "a-secret" not in str(error.value)


def test_a_key_that_is_not_set_raises_config_error(endpoint: ChatServer) -> None:
    with pytest.raises(ConfigError, match="R4T_NO_SUCH_KEY"):
        judge(endpoint, api_key_env="R4T_NO_SUCH_KEY")
