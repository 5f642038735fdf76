"""Cases that schemathesis makes of the OpenAPI schema: documented statuses, content types and bodies, and no 5xx."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from r4t_ray.artifacts import Workspace
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.gateway import api
from r4t_ray.serve.generator import Generator

from ..conftest import DIM, NUM_ROWS
from .conftest import placed_gateway
from .test_http import assert_form

NUM_CASES = 5_000
EXAMPLES = 600
"""Cases of an endpoint that keep its schema, and as many that do not. An endpoint without parameters has one case."""


def keep_rules(body: dict[str, Any]) -> None:
    """Change a body that keeps the schema so that it keeps the rules between fields too, and is often answered."""
    if "vectors" in body:
        body["vectors"] = [(vector * DIM)[:DIM] for vector in body["vectors"]]
        body.pop("filter", None)
        return
    total, offset = body.get("total"), body.get("offset")
    body["k"] = 1 + body.get("k", 0) % NUM_ROWS
    wrong = {
        "timeout_ms": True,
        "n": total is not None,
        "offset": total is None or (offset or 0) + total > 1_000,
        "mmr_lambda": body.get("method") != "mmr",
        "query": body.get("query") is None,
        "max_per": body.get("task") != "wscr",
        "filter": len(body.get("avoid", ())) % 2,
    }
    for name in [name for name, is_wrong in wrong.items() if is_wrong]:
        body.pop(name, None)
    body.setdefault("query", "soup")
    if body.get("max_per"):
        body["max_per"]["attribute"] = "rank"


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.filterwarnings("ignore")  # schemathesis and its libraries warn of what they plan
def test_no_case_of_the_schema_is_a_fault(tiny_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.python.asgi import get_client
    from schemathesis.specs.openapi import checks

    conforms = [
        not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
        checks.response_schema_conformance,
    ]  # fmt: skip
    args = AppArgs(workspace=str(tiny_workspace.root), deadline_s=300)
    generator = Generator.func_or_class(args)
    counts: Counter[tuple[str, str, int]] = Counter()

    def try_cases(operation: Any, mode: GenerationMode, client: Any) -> None:
        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def try_case(case: Any) -> None:
            if mode == GenerationMode.POSITIVE and isinstance(case.body, dict) and "requests" not in case.body:
                keep_rules(case.body)
            reply = case.call(session=client)
            counts[operation.label, mode.name, reply.status_code] += 1
            case.validate_response(reply, checks=conforms)
            if reply.status_code >= 400:
                assert_form(Reply(reply))

        try_case()

    with placed_gateway(generator, args, monkeypatch), get_client(api) as client:
        schema = schemathesis.openapi.from_asgi("/openapi.json", api)
        for operation in (found.ok() for found in schema.get_all_operations()):
            try_cases(operation, GenerationMode.POSITIVE, client)
            if operation.body or operation.query:
                try_cases(operation, GenerationMode.NEGATIVE, client)
    print(counts)
    assert counts.total() >= NUM_CASES
    for path in ("/v1/retrieve", "/v1/fanout", "/v1/search", "/v1/retrieve:batch"):
        assert counts[f"POST {path}", "POSITIVE", 200] > EXAMPLES / 10, counts


class Reply:
    """A reply of schemathesis, whose headers are lists, as ``assert_form`` reads one."""

    def __init__(self, reply: Any) -> None:
        self.headers = {name: values[0] for name, values in reply.headers.items()}
        self.json = reply.json
