"""The HTTP rules on a bare ASGI application: the body limit, and the JSON form of every error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError

from r4t_ray.errors import DataError, MachineError, RequestError
from r4t_ray.retrieval.generation import check_k
from r4t_ray.retrieval.request import MAX_BODY_BYTES, RetrieveRequest
from r4t_ray.serve.http import make_api
from r4t_ray.serve.middleware import BodyLimit, PlainRequests

from ..conftest import NUM_ROWS
from .conftest import BAD_BODIES

LIMIT = MAX_BODY_BYTES
NO_ENDPOINT = MachineError("encoder.url 'http://secret'", "no connection", "an answer", "start it")

api = make_api("test", LIMIT)


@api.post("/length")
async def length(body: dict[str, str]) -> int:
    return len(body["text"])


BAD_VECTOR = DataError("encoder.model 'secret/path'", "a vector that is 0 for 'soup'", "a finite vector", "edit")


@api.get("/raise/{name}")
async def fail(name: str) -> None:
    raise {
        "backpressure": BackPressureError(num_queued_requests=3, max_queued_requests=2),
        "deadline": TimeoutError(),
        "down": RayActorError(),
        "no endpoint": NO_ENDPOINT,
        "no endpoint of a replica": RayTaskError("embed", "", NO_ENDPOINT).as_instanceof_cause(),
        "refused": RequestError("k", "13", "1 to 12", "ask for fewer"),
        "vector": RayTaskError("generate", "secret traceback", BAD_VECTOR).as_instanceof_cause(),
        "fault": RuntimeError("secret detail"),
    }[name]


def call(method: str, path: str, **options: object) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=api, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)  # type: ignore[arg-type]

    return asyncio.run(send())


def json_of_length(size: int) -> bytes:
    frame = len(b'{"text": ""}')
    return b'{"text": "' + b"x" * (size - frame) + b'"}'


@api.get("/page")
async def page() -> str:
    return "a page"


@api.post("/v1/retrieve")
async def retrieve(request: RetrieveRequest) -> int:
    check_k(request.k, NUM_ROWS)
    return request.k


HEADERS = {"Content-Type": "application/json"}


def assert_form(reply: httpx.Response, request_id: str | None = None) -> dict[str, str]:
    """Check the form of an error, with the id of the request in body and header; gives its four parts."""
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert set(body) == {"error", "request_id"}
    assert set(body["error"]) == {"where", "got", "expected", "fix"}
    assert body["request_id"] == reply.headers["x-request-id"] == (request_id or body["request_id"])
    assert 1 <= len(body["request_id"]) <= 128
    return dict(body["error"])


@pytest.mark.parametrize("path", ["/nowhere", "/raise/deadline", "/raise/fault"])
@pytest.mark.parametrize(
    ("sent", "is_taken"),
    [("a", True), ("trace:1.b_c/d+e=f@g-h" + "x" * 106, True), ("x" * 129, False), ("a b", False), ('ab"', False)],
)
def test_an_error_has_the_clients_id_or_a_new_one(path: str, sent: str, is_taken: bool) -> None:
    reply = call("GET", path, headers={"X-Request-ID": sent})
    assert_form(reply, sent if is_taken else None)
    assert (reply.headers["x-request-id"] == sent) == is_taken
    assert call("GET", path).headers["x-request-id"] != call("GET", path).headers["x-request-id"]


def test_the_log_names_the_request_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    call("GET", "/raise/deadline", headers={"X-Request-ID": "abc-1"})
    assert "status 504, no answer within the deadline (request_id abc-1)" in caplog.text


def test_an_answer_has_the_id_in_its_header() -> None:
    reply = call("POST", "/v1/retrieve/", json={"query": "dinner", "k": 2}, headers={"X-Request-ID": "abc-1"})
    assert (reply.status_code, reply.json(), reply.headers["x-request-id"]) == (200, 2, "abc-1")


def test_head_is_get_without_the_body_and_options_lists_the_methods() -> None:
    whole, head = call("GET", "/page/"), call("HEAD", "/page")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(whole.content)))
    for path, methods in (("/page", "GET, OPTIONS, HEAD"), ("/v1/retrieve", "POST, OPTIONS")):
        options = call("OPTIONS", path)
        assert (options.status_code, options.content, options.headers["allow"]) == (204, b"", methods)
        assert "access-control-allow-origin" not in options.headers
    assert call("OPTIONS", "/nowhere").status_code == 404
    assert call("HEAD", "/v1/retrieve").status_code == 405


def test_a_body_at_the_limit_passes_and_one_byte_more_is_413() -> None:
    assert call("POST", "/length", content=json_of_length(LIMIT), headers=HEADERS).json() == LIMIT - 12
    refused = call("POST", "/length", content=json_of_length(LIMIT + 1), headers=HEADERS)
    assert refused.status_code == 413
    assert assert_form(refused)["where"] == "body of POST /length"


def test_a_body_without_a_declared_length_is_counted() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * (LIMIT // 10)

    assert call("POST", "/length", content=chunks(), headers=HEADERS).status_code == 413


def test_a_body_that_does_not_end_is_408() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b'{"text": '
        await asyncio.sleep(60)

    async def send() -> httpx.Response:
        layers = PlainRequests(BodyLimit(api, LIMIT, seconds=0.05), lambda *_: None)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=layers), base_url="http://test") as client:
            return await client.post("/length", content=slow(), headers=HEADERS)

    reply = asyncio.run(asyncio.wait_for(send(), 10))
    assert reply.status_code == 408
    assert assert_form(reply)["where"] == "body of POST /length"


def test_an_error_repeats_the_beginning_of_a_long_path() -> None:
    reply = call("GET", "/" + "x" * 60_000)
    assert reply.status_code == 404
    assert assert_form(reply)["where"].startswith("GET /xxx")
    assert len(reply.content) < 2_000


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("backpressure", 429),
        ("deadline", 504),
        ("down", 503),
        ("no endpoint", 503),
        ("no endpoint of a replica", 503),
        ("refused", 422),
        ("vector", 502),
        ("fault", 500),
    ],
)
def test_faults_of_the_server_keep_the_form_and_tell_no_secrets(name: str, status: int) -> None:
    reply = call("GET", f"/raise/{name}")
    assert reply.status_code == status
    assert_form(reply)
    assert "secret" not in reply.text
    assert "Traceback" not in reply.text
    assert (status in (429, 503)) == ("Retry-After" in reply.headers)


def test_a_text_without_a_vector_is_named_and_the_log_has_the_encoder(caplog: pytest.LogCaptureFixture) -> None:
    error = call("GET", "/raise/vector").json()["error"]
    assert (error["where"], error["got"]) == ("/raise/vector", BAD_VECTOR.got)
    assert BAD_VECTOR.where in caplog.text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/length", 405)])
def test_a_wrong_path_or_method_has_the_form_too(method: str, path: str, status: int) -> None:
    reply = call(method, path)
    assert reply.status_code == status
    assert assert_form(reply)["where"] == f"{method} {path}"


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_input_is_a_4xx_that_says_what_to_do(name: str) -> None:
    body, status, where = BAD_BODIES[name]
    reply = call("POST", "/v1/retrieve", content=body, headers=HEADERS)
    assert reply.status_code == status, reply.text
    error = assert_form(reply)
    assert error["where"] == where
    assert all(error.values())
    assert "Traceback" not in reply.text
    assert len(reply.content) < 2_000


@pytest.mark.parametrize("headers", [{"Content-Type": "text/plain"}, {}])
def test_another_content_type_is_refused(headers: dict[str, str]) -> None:
    reply = call("POST", "/v1/retrieve", content=b'{"query": "dinner"}', headers=headers)
    assert reply.status_code == 422
    assert "application/json" in reply.json()["error"]["expected"]


def test_a_good_request_passes() -> None:
    assert call("POST", "/v1/retrieve", json={"query": " dinner ", "k": NUM_ROWS}).json() == NUM_ROWS
