"""Bodies that the gateway refuses."""

from __future__ import annotations

import json

BAD_BODIES: dict[str, tuple[bytes, int, str]] = {
    "empty body": (b"", 422, "body"),
    "not JSON": (b"query=dinner", 400, "body, character 0"),
    "cut JSON": (b'{"query": "din', 400, "body, character 10"),
    "not UTF-8": (b'{"query": "\xff\xfe"}', 400, "POST /v1/retrieve"),
    "a list": (b'["dinner"]', 422, "body"),
    "null": (b"null", 422, "body"),
    "deep": (b"[" * 10_000 + b"]" * 10_000, 400, "POST /v1/retrieve"),
    "200 kB": (json.dumps({"query": "x" * 200_000}).encode(), 413, "body of POST /v1/retrieve"),
    "3,000 characters": (json.dumps({"query": "x" * 3_000}).encode(), 422, "query"),
    "empty query": (b'{"query": ""}', 422, "query"),
    "blank query": (b'{"query": " \\n\\t "}', 422, "query"),
    "no query": (b"{}", 422, "query"),
    "lone surrogate": (b'{"query": "\\ud800"}', 422, "query"),
    "surrogate key": (b'{"query": "dinner", "\\ud800": 1}', 422, "body"),
    "k = 0": (b'{"query": "dinner", "k": 0}', 422, "k"),
    "k above L": (b'{"query": "dinner", "k": 7}', 422, "k"),
    "k as text": (b'{"query": "dinner", "k": "3"}', 422, "k"),
    "k infinite": (b'{"query": "dinner", "k": 1e999}', 422, "k"),
    "k NaN": (b'{"query": "dinner", "k": NaN}', 422, "k"),
    "huge integer": (b'{"query": "dinner", "k": ' + b"9" * 6_000 + b"}", 400, "POST /v1/retrieve"),
    "n = 0": (b'{"query": "dinner", "n": 0}', 422, "n"),
    "n too large": (b'{"query": "dinner", "n": 1001}', 422, "n"),
    "seed negative": (b'{"query": "dinner", "seed": -1}', 422, "seed"),
    "seed too large": (b'{"query": "dinner", "seed": 9223372036854775808}', 422, "seed"),
    "unknown task": (b'{"query": "dinner", "task": "music"}', 422, "task"),
    "17 likes": (json.dumps({"query": "dinner", "like": ["soup"] * 17}).encode(), 422, "like"),
    "an empty term": (b'{"query": "dinner", "avoid": ["soup", " "]}', 422, "avoid.1"),
    "a term too long": (json.dumps({"query": "dinner", "like": ["x" * 201]}).encode(), 422, "like.0"),
    "strength negative": (b'{"query": "dinner", "strength": -1}', 422, "strength"),
    "temperature infinite": (b'{"query": "dinner", "temperature": 1e999}', 422, "temperature"),
    "unknown field": (b'{"query": "dinner", "top_k": 3}', 422, "top_k"),
}
"""Name -> body of POST /v1/retrieve, the status of its refusal, and where the error points."""
