"""The encoder behind an embeddings endpoint, against a real small server: requests, retries, faults and the key."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.config import Settings, parse_settings
from r4t_ray.encoders import EndpointConfig, embeddings_api
from r4t_ray.encoders.embeddings_api import embeddings_url
from r4t_ray.encoders.encoder import load_encoder, save_encoder
from r4t_ray.encoders.kinds import encoder_config
from r4t_ray.endpoints.retry_after import retry_after_s
from r4t_ray.errors import ConfigError, DataError, MachineError, R4TError
from r4t_ray.experiment import Experiment
from r4t_ray.stages import find_stage
from r4t_ray.start_up import check_models

from .embeddings_server import WIDTH, Endpoint, always, serving, vectors_of, with_vector, word_vectors

TEXTS = [f"{color} lamp {number}" for number, color in enumerate(["red", "blue", "green", "white", "black"])]
KEY = "sk-secret-4711"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(embeddings_api, "FIRST_WAIT_S", 0.01)
    with serving() as endpoint:
        yield endpoint


def config(server: Endpoint, **settings: Any) -> EndpointConfig:
    given = {"url": server.url, "model": "words", "dim": 8, "max_retries": 2, "timeout_s": 5}
    return EndpointConfig(type="endpoint", **(given | settings))


def test_rows_are_unit_and_in_the_order_of_the_texts(server: Endpoint) -> None:
    emb_ND = config(server, batch_size=2).build().encode(TEXTS)
    assert emb_ND.dtype == np.float32
    assert np.abs(emb_ND - word_vectors(TEXTS)).max() < 1e-6
    assert [body["input"] for _, body in server.requests] == [TEXTS[:2], TEXTS[2:4], TEXTS[4:]]
    assert {body["path"] for _, body in server.requests} == {"/v1/embeddings"}


def test_each_kind_has_its_prompt_and_its_fields(server: Endpoint) -> None:
    encoder = config(
        server,
        query_prompt="query: ",
        document_prompt="passage: ",
        query_fields={"input_type": "query"},
        document_fields={"input_type": "passage", "truncate": "END"},
        dimensions=6,
    ).build()
    emb_ND = encoder.encode(TEXTS[:3], ["document", "query", "document"])
    asked = {body["input_type"]: body for _, body in server.requests}
    assert asked["query"]["input"] == ["query: blue lamp 1"]
    assert asked["passage"]["input"] == ["passage: red lamp 0", "passage: green lamp 2"]
    assert (asked["passage"]["truncate"], "truncate" in asked["query"]) == ("END", False)
    assert {(body["model"], body["dimensions"]) for body in asked.values()} == {("words", 6)}
    expected = word_vectors(["passage: red lamp 0", "query: blue lamp 1", "passage: green lamp 2"], 6)
    assert np.abs(emb_ND - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:8080", "http://h:8080/v1/embeddings"),
        ("http://h/v1/embeddings/", "http://h/v1/embeddings"),
        ("https://h/v1beta/openai/", "https://h/v1beta/openai/embeddings"),
        ("https://h/d/embeddings?api-version=2", "https://h/d/embeddings?api-version=2"),
    ],
)
def test_the_address_may_be_a_base_or_whole(url: str, expected: str) -> None:
    assert embeddings_url(url) == expected


@pytest.mark.parametrize("url", ["h:8080", "localhost/v1", "ftp://h", "http://", "http://h:x", "http://me:pw@h/v1"])
def test_other_addresses_are_refused_with_the_setting(url: str) -> None:
    encoder = {"type": "endpoint", "url": url, "model": "m"}
    with pytest.raises(ConfigError, match=r"encoder\.url: "):
        parse_settings(Experiment, {"catalogue": {"type": "cookbook"}, "encoder": encoder}, "here")


def test_a_busy_server_is_asked_again_when_it_says(server: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    server.replies = [always(429, "slow down", Retry_After="0.2"), always(503, Retry_After="soon")]
    started = time.perf_counter()
    with caplog.at_level(logging.WARNING):
        emb_ND = config(server).build().encode(TEXTS)
    assert time.perf_counter() - started >= 0.2
    assert np.abs(emb_ND - word_vectors(TEXTS)).max() < 1e-6
    assert len(server.requests) == 3
    assert "HTTP 429 with 'slow down'; next try in 0.2 s" in caplog.text


def test_it_ends_after_the_retries_or_if_the_server_asks_for_too_long(server: Endpoint) -> None:
    server.replies = [always(500, "oops")] * 3
    with pytest.raises(MachineError, match=r"HTTP 500 with 'oops', after 3 tries"):
        config(server).build().encode(TEXTS)
    server.replies = [always(429, Retry_After="3600")]
    with pytest.raises(MachineError, match=r"asks to wait 3,600 s, after 1 tries"):
        config(server).build().encode(TEXTS)
    assert len(server.requests) == 4


def test_retry_after_is_seconds_or_a_date() -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < (retry_after_s({"retry-after": in_a_minute}) or 0) <= 60
    found = [retry_after_s({"retry-after": value}) for value in ("7", "-3", "Wed, 21 Oct 2015 07:28:00 GMT")]
    assert found == [7.0, 0.0, 0.0]
    assert [retry_after_s(headers) for headers in ({}, {"retry-after": "soon"}, {"retry-after": "nan"})] == [None] * 3


def test_no_server_and_a_slow_one(server: Endpoint) -> None:
    def slow(body: dict[str, Any]) -> Any:
        time.sleep(0.3)
        return vectors_of(body)

    server.replies = [slow, slow]
    with pytest.raises(MachineError, match=r"no answer in 0\.1 s, after 2 tries.*raise encoder\.timeout_s"):
        config(server, timeout_s=0.1, max_retries=1).build().encode(TEXTS)
    with pytest.raises(MachineError, match="no connection"):
        config(server, url="http://127.0.0.1:9", max_retries=0).build().encode(TEXTS)


NO_LIST = r"with each index from 0 to 4 once"
FAULTS: dict[str, tuple[Any, type[R4TError], str]] = {
    "NaN": (with_vector(1, [float("nan")] * WIDTH), DataError, r"not finite for 1 of 5 texts, the first 'blue lamp 1'"),
    "overflow": (with_vector(1, [1e300] * WIDTH), DataError, r"not finite for 1 of 5 texts, the first 'blue lamp 1'"),
    "zero": (with_vector(2, [0] * WIDTH), DataError, r"a vector that is 0 for 1 of 5 texts, the first 'green lamp 2'"),
    "width": (with_vector(3, [1.0] * 7), DataError, r"width 7 for 'white lamp 3'; expected width 24"),
    "base64": (with_vector(0, "AACAPw=="), DataError, r"'AACAPw==' for 'red lamp 0'"),
    "empty": (with_vector(0, []), DataError, r"\[\] for 'red lamp 0'"),
    "null": (with_vector(0, [None]), DataError, r"\[None\] for 'red lamp 0'"),
    "no JSON": (always(200, "<html>"), MachineError, NO_LIST),
    "no data": (always(200, {"object": "list"}), MachineError, NO_LIST),
    "too few": (always(200, {"data": [{"index": 0, "embedding": [1.0]}]}), MachineError, NO_LIST),
    "one index": (always(200, {"data": [{"index": 0, "embedding": [1.0]}] * 5}), MachineError, NO_LIST),
    "no model": (always(404, {"error": "model 'words' not found"}), ConfigError, r"HTTP 404.*correct encoder\.url and"),
    "no key": (always(401, "who?"), ConfigError, r"for no key, because encoder\.api_key_env is null"),
    "too long": (
        always(400, "too many tokens"),
        DataError,
        r"400 with 'too many tokens' for 5 texts, the longest 'green",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_names_the_place_and_the_text(server: Endpoint, fault: str) -> None:
    reply, kind, message = FAULTS[fault]
    server.replies = [reply]
    with pytest.raises(kind, match=message) as caught:
        config(server).build().encode(TEXTS)
    assert caught.value.where == f"encoder.url '{server.url}'"
    assert len(server.requests) == 1


def test_the_width_stays_the_same(server: Endpoint) -> None:
    encoder = config(server).build()
    encoder.encode(TEXTS)
    server.replies = [lambda body: vectors_of(body | {"dimensions": 7})]
    with pytest.raises(DataError, match="a vector of width 7 for 'red lamp 0'; expected width 24, as before"):
        encoder.encode(TEXTS)
    server.replies = [lambda body: vectors_of(body | {"dimensions": 7})]
    with pytest.raises(DataError, match=r"expected width 6, as encoder\.dimensions says"):
        config(server, dimensions=6).build().encode(TEXTS)


def test_the_key_is_sent_and_nowhere_else(
    server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", f"{KEY}\n")
    with_key = config(server, api_key_env="MY_KEY")
    save_encoder(tmp_path / "model", with_key, np.eye(WIDTH, 8, dtype=np.float32))
    server.replies = [always(503, f"busy, {KEY}"), always(401, f"a bad key: {KEY}")]
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigError) as caught:
        load_encoder(tmp_path / "model").encode(TEXTS)
    assert server.requests[0][0]["Authorization"] == f"Bearer {KEY}"
    assert "a bad key: ***" in str(caught.value)
    written = "".join(path.read_text("latin-1") for path in (tmp_path / "model").iterdir())
    assert KEY not in caplog.text + str(caught.value) + written + repr(with_key)
    assert "busy, ***" in caplog.text


def test_no_key_is_sent_unless_its_variable_is_named(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    config(server).build().encode(TEXTS)
    assert "Authorization" not in server.requests[0][0]
    monkeypatch.delenv("OPENAI_API_KEY")
    named = config(server, api_key_env="OPENAI_API_KEY")
    for missing in (None, "", "a\u2026b"):
        if missing is not None:
            monkeypatch.setenv("OPENAI_API_KEY", missing)
        with pytest.raises(ConfigError, match=r"encoder\.api_key_env: got 'OPENAI_API_KEY'.*export OPENAI_API_KEY=KEY"):
            named.build()
    experiment = Experiment.model_validate({"catalogue": {"type": "cookbook"}, "encoder": named.model_dump()})
    check_models([find_stage("ingest")], experiment)
    with pytest.raises(ConfigError, match=r"encoder\.api_key_env"):
        check_models([find_stage("embed")], experiment)


def test_a_proxy_of_the_environment_is_no_way_to_this_machine(
    server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert config(server, max_retries=0).build().encode(TEXTS).shape == (5, WIDTH)
    with pytest.raises(MachineError, match="no connection"):
        config(server, url="http://embeddings.invalid", max_retries=0).build().encode(TEXTS)


def test_a_saved_encoder_is_served_at_the_address_that_the_manifest_records(server: Endpoint, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)

    def embed(settings: EndpointConfig) -> bool:
        def make(folder: Path) -> int:
            save_encoder(folder / "model", settings, np.eye(WIDTH, 8, dtype=np.float32))
            return 1

        return workspace.build("encoder", settings, 0, [], make).is_new

    assert embed(config(server, url="http://127.0.0.1:9"))
    assert not embed(config(server))
    encoder = load_encoder(tmp_path / "encoder" / "model")
    assert encoder.encode([]).shape == (0, 8)
    expected = word_vectors(TEXTS)[:, :8]
    assert np.abs(encoder.encode(TEXTS) - expected / np.linalg.norm(expected, axis=1, keepdims=True)).max() < 1e-6
    server.replies = [lambda body: vectors_of(body | {"dimensions": 7})]
    with pytest.raises(
        ConfigError, match=r"encoder\.model 'words': got vectors of width 7; expected width 24, as when"
    ):
        load_encoder(tmp_path / "encoder" / "model").encode(TEXTS)
    assert embed(config(server, model="others"))


def test_settings_are_read_back_as_they_are(server: Endpoint) -> None:
    for settings in (config(server, query_fields={"input_type": "query"}), Experiment.model_fields["encoder"].default):
        assert isinstance(settings, Settings)
        assert encoder_config(settings.model_dump(mode="json")) == settings
