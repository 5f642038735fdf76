"""Requests that mean harm, in groups: what each sends, in words of ``httpx.AsyncClient.request``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import quote

from ..conftest import DIM

Sent = tuple[str, str, dict[str, Any]]
"""Method, path, and content, headers or params."""

POSTS = ("/v1/retrieve", "/v1/retrieve:batch", "/v1/fanout", "/v1/search")
GETS = ("/", "/livez", "/readyz", "/healthz", "/v1/index", "/v1/items/s-lentil-soup", "/docs", "/openapi.json")
JSON = {"Content-Type": "application/json"}
DEPTHS = (7, 8, 9, 300, 950, 5_000)

ODD_VALUES = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"1e308", b"1e-400", b"-0.0", b"9" * 400, b"9223372036854775808",
    b"-1", b"0", b"2.5", b"true", b"null", b'"1"', b"[]", b"{}", b'"\\ud800"', b'"\\u0000"', b"[[[[]]]]",
)  # fmt: skip
FIELDS = (
    "query", "k", "n", "total", "offset", "seed", "task", "method", "mmr_lambda", "like", "avoid", "strength",
    "temperature", "guidance", "filter", "max_per", "min_relevance", "include_query", "query_weight", "dedupe",
    "with_payload", "timeout_ms", "allow_partial", "unknown", "\\ud800", "\\u0000",
)  # fmt: skip
ODD_TEXTS = (
    "\0", "a\0b", "".join(map(chr, range(1, 32))), "\u202e" * 200, "a" + "\u0301" * 1_999, "\ufeff", "\u200b", "\uffff",
    "\U0010ffff" * 2_000, "\N{GRINNING FACE}" * 2_000, "\N{GRINNING FACE}" * 2_001, "%s{0}{}%n", "x" * 2_000,
    "[CLS][SEP][PAD][MASK][UNK]" * 50, "<script>alert(1)</script>", "a\r\nX-Evil: 1", "../../etc/passwd",
)  # fmt: skip


def post(content: bytes, path: str = "/v1/retrieve", **headers: str) -> Sent:
    return "POST", path, {"content": content, "headers": JSON | headers}


def retrieve(**fields: Any) -> Sent:
    return post(json.dumps({"query": "soup", "k": 2, "n": 2} | fields).encode())


def odd_values() -> Iterator[Sent]:
    for field, value in product(FIELDS, ODD_VALUES):
        body = {"query": b'"soup"', "k": b"2", "n": b"1"} | {field: value}
        yield post(b"{" + b",".join(b'"%s":%s' % (name.encode(), each) for name, each in body.items()) + b"}")
    for value in ODD_VALUES:
        for form in ("eq", "in", "range", "exists", "and", "or", "not", "any", "xor"):
            yield post(b'{"query":"soup","k":2,"filter":{"%s":%s}}' % (form.encode(), value))
        for condition in (b'{"eq":["rank",%s]}', b'{"in":["roles",[1,"a",%s]]}', b'{"range":["rank",{"gte":%s}]}'):
            yield post(b'{"query":"soup","k":2,"n":1,"filter":%s}' % (condition % value))
        yield post(b'{"query":"soup","k":2,"task":"wscr","max_per":{"attribute":"rank","n":%s}}' % value)
        yield post(b'{"vectors":[[%s]]}' % b",".join([value] * DIM), "/v1/search")
        yield post(b'{"vectors":[[%s]],"n":%s}' % (b",".join([b"1"] * DIM), value), "/v1/search")
        yield post(b'{"requests":[%s]}' % value, "/v1/retrieve:batch")
        yield post(b'{"requests":%s}' % value, "/v1/retrieve:batch")
        yield from (post(value, path) for path in POSTS)


def odd_texts() -> Iterator[Sent]:
    for text in ODD_TEXTS:
        yield retrieve(query=text)
        yield post(json.dumps({"query": text, "k": 2}, ensure_ascii=False).encode(), "/v1/fanout")
        yield retrieve(like=[text[:200]], avoid=[text[:200]], strength=4)
        yield retrieve(filter={"eq": ["roles", text]}, with_payload=True)
        yield retrieve(filter={"exists": text})
        yield retrieve(**{text: 1})
        yield "GET", f"/v1/items/{quote(text[:300])}", {}
        yield "GET", "/v1/items/i-lentil", {"params": {"task": text}}


def deep_and_wide() -> Iterator[Sent]:
    for depth in DEPTHS:
        for path in POSTS:
            yield post(b"[" * depth + b"]" * depth, path)
            yield post(b'{"query":"soup","x":' + b"[" * depth + b"]" * depth + b"}", path)
            yield post(b'{"requests":[' + b'{"query":' * depth + b"1" + b"}" * depth + b"]}", path)
        for form, close in ((b'{"not":', b"}"), (b'{"any":', b"}"), (b'{"and":[', b"]}"), (b'{"or":[', b"]}")):
            inside = form * depth + b'{"exists":"rank"}' + close * depth
            yield post(b'{"query":"soup","k":2,"n":1,"filter":' + inside + b"}")
            yield post(b'{"requests":[{"query":"soup","k":2,"filter":' + inside + b"}]}", "/v1/retrieve:batch")
    for number in (0, 1, 256, 257):
        yield retrieve(filter={"in": ["rank", list(range(number))]})
        yield retrieve(filter={"and": [{"exists": "rank"}] * number})
    for number in (0, 1, 64, 65, 5_000):
        yield post(json.dumps({"requests": [{"query": "soup", "k": 2, "n": 1}] * number}).encode(), POSTS[1])
        yield post(json.dumps({"vectors": [[1.0] * DIM] * number, "n": 1}).encode(), "/v1/search")
        yield post(json.dumps({"vectors": [[1.0] * number]}).encode(), "/v1/search")
    yield post(b'{"query": "' + b"x" * 10_000_000 + b'"}')


def broken_bodies() -> Iterator[Sent]:
    good = json.dumps({"query": "soup", "k": 2}).encode()
    bad = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\0", b"\xef\xbb\xbf")
    for path, each in product(POSTS, bad):
        yield from (post(each, path), post(b'{"query":"%s","k":2}' % each, path))
    for encoding in ("utf-16", "utf-32", "utf-8-sig", "latin-1"):
        yield post('{"query":"s\xfcppe","k":2}'.encode(encoding))
    for text in (
        good[:-1],
        good + good,
        b'{"query":"a","query":3}',
        b"{'query':1}",
        b'{"query":"a",}',
        b"\x1f\x8b\x08",
    ):
        yield post(text)
    types = ("", "text/plain", "application/", "application/json; charset=\xff", "multipart/form-data", "x" * 5_000)
    for path, kind in product(POSTS, types):
        yield "POST", path, {"content": good, "headers": [(b"content-type", kind.encode("latin-1"))]}
        yield "POST", path, {"content": b"\xff\0", "headers": [(b"content-type", kind.encode("latin-1"))]}


def odd_requests() -> Iterator[Sent]:
    methods = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "FOO", "\xe9")
    for path, method in product((*POSTS, *GETS, "/nowhere", "/v1", "//", "/v1//index", "/*"), methods):
        yield from ((method, path, {}), (method, path + "/", {}))
    ids = ("..", "../..", "%2e%2e/etc/passwd", "..%2f..%2fetc", "%00", "%ff", "%ed%a0%80", "%zz", "%0d%0aX-Evil:%201")
    for item in (*ids, "a%3fb%23c", "s-lentil-soup%00", "x" * 60_000):
        yield "GET", f"/v1/items/{item}", {}
    for query in (b"task=", b"task=%ff", b"task=oar&task=wscr", b"&" * 5_000, b"%", b"task=" + b"x" * 60_000):
        yield "GET", "/v1/items/i-lentil", {"params": query.decode("latin-1")}
    values = (b"a\r\nX-Evil: 1", b"a\nb", b"\0", b"\xff", b"", b"x" * 60_000, b"[", b"a@b:c/d?e#f")
    for name, value in product((b"x-request-id", b"authorization", b"host", b"cookie", b"content-length"), values):
        for method, path in (("GET", "/livez"), ("GET", "/nowhere"), ("POST", "/v1/retrieve")):
            yield method, path, {"headers": [(name, value)]}


GROUPS = {
    "values": odd_values, "texts": odd_texts, "depth and size": deep_and_wide, "bodies": broken_bodies,
    "methods, paths and headers": odd_requests,
}  # fmt: skip
