"""Chats with an endpoint: order, faults, keys and thinking. The judge's tests have retries, deadlines and refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from r4t_ray.endpoints.chat import FAULT_CHARS, ChatEndpoint, Reply, json_object
from r4t_ray.endpoints.key import key_of
from r4t_ray.errors import ConfigError
from tests.endpoints.chat_server import ChatServer, serving


def endpoint(server: ChatServer, key: str | None = None) -> ChatEndpoint:
    return ChatEndpoint(
        base_url=server.url, model="m", key=key, key_from="no key", timeout_s=5, max_retries=0, max_concurrency=3
    )


def test_replies_have_the_order_of_the_prompts_and_a_fault_in_the_place_of_a_failed_one() -> None:
    with serving(lambda prompt: prompt.upper()) as server:
        server.plan = {0: 0.3}
        assert endpoint(server).ask(["a", "b", "c"], max_tokens=7) == [Reply(text=text) for text in "ABC"]
        assert {body["max_tokens"] for body in server.seen} == {7}
        server.plan = {3: 500}
        (reply,) = endpoint(server).ask(["a"])
        assert reply.text is None
        assert "500" in reply.fault


def test_without_prompts_nothing_is_called() -> None:
    with serving(str) as server:
        assert endpoint(server).ask([]) == []
        assert not server.seen


def test_no_key_of_the_environment_is_sent_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret")
    with serving(str) as server:
        endpoint(server).ask(["a"])
        assert "a-secret" not in server.seen[0]["key"]
        assert "a-secret" not in repr(endpoint(server, key=key_of("OPENAI_API_KEY", "--api-key-env")))


def test_a_key_that_the_server_repeats_is_hidden_and_long_faults_are_cut() -> None:
    with serving(str) as server:
        server.plan, server.fault = {0: 400}, f"bad key a-secret {'x' * 1000}"
        (reply,) = endpoint(server, key="a-secret").ask(["a"])
    assert reply.text is None
    assert "bad key ***" in reply.fault
    assert len(reply.fault) == FAULT_CHARS


@pytest.mark.parametrize(
    "body", ["<html>Sign in</html>", "{}", '{"choices": []}', '{"choices": [{"message": null}]}', "{"]
)
def test_a_reply_that_is_no_chat_completion_is_a_fault(body: str) -> None:
    with serving(str) as server:
        server.body = body
        (reply,) = endpoint(server).ask(["a"])
    assert reply.text is None
    assert reply.fault


@pytest.mark.parametrize("url", ["localhost:1/v1", "ftp://localhost/v1", "http://me:a-secret@localhost/v1"])
def test_an_address_that_is_none_is_refused_without_its_secret(url: str) -> None:
    with serving(str) as server, pytest.raises(ConfigError, match="address") as error:
        replace(endpoint(server), base_url=url).ask(["a"])
    assert "a-secret" not in str(error.value)


def test_a_proxy_is_not_asked_for_a_server_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9")
    with serving(str) as server:
        assert endpoint(server).ask(["a"]) == [Reply(text="a")]


def test_a_key_that_is_not_set_is_named() -> None:
    with pytest.raises(ConfigError, match=r"--api-key-env: got 'R4T_NO_SUCH_KEY'"):
        key_of("R4T_NO_SUCH_KEY", "--api-key-env")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"fits": [1]}', '{"fits": [1]}'),
        ('<think>{"fits": [9]}</think>\n```json\n{"fits": [1]}\n```', '{"fits": [1]}'),
        ("none", ""),
        ("} {", ""),
        ("", ""),
    ],
)
def test_the_json_object_of_a_reply(text: str, found: str) -> None:
    assert json_object(text) == found
