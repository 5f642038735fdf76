"""What is recorded, and the dashboard: every metric in it is exported, and every metric of ours is in it."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from ray.util.metrics import Metric

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import MachineError
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.response import ModelInfo, RetrieveResponse, SetMetrics
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.generator import Generator
from r4t_ray.serve.observability import exposition
from r4t_ray.serve.observability.metrics import SPECS, exported_name, metric, record, record_answer, record_cache

from ..conftest import client_in_process

Recorded = list[tuple[str, float, dict[str, str]]]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """What reaches Ray's metrics: name, value and labels, the labels checked by Ray."""
    seen: Recorded = []

    def keep(self: Any, value: float, tags: dict[str, str] | None = None) -> None:
        final = self._get_final_tags(tags)
        self._validate_tags(final)
        seen.append((self._name, value, final))

    monkeypatch.setattr(Metric, "_record", keep)
    metric.cache_clear()
    yield seen
    metric.cache_clear()


MODEL = ModelInfo(encoder="e", index="i", diffusion="d", num_rows=6, solver="heun", num_steps=2, guidance=0.0)


def test_an_answer_is_recorded_by_stage_task_and_method(recorded: Recorded) -> None:
    answer = RetrieveResponse(
        task="wscr",
        query="soup",
        seed=0,
        directions=[],
        items=[],
        set_metrics=SetMetrics(vendi=1.0000002, groundedness=0.5, alignment=-0.25),
        partial=True,
        timings_ms={"encode": 3.0, "search": 1.5, "total": 12.5},
        model=MODEL,
    )
    record_answer(parse_request(query="soup", method="mmr"), answer)
    labels = {"task": "wscr", "method": "mmr"}
    assert recorded == [
        ("r4t_stage_latency_ms", 3.0, {"stage": "encode", **labels}),
        ("r4t_stage_latency_ms", 1.5, {"stage": "search", **labels}),
        ("r4t_stage_latency_ms", 12.5, {"stage": "total", **labels}),
        ("r4t_vendi", 1.0, labels),
        ("r4t_groundedness", 0.5, labels),
        ("r4t_alignment", -0.25, labels),
        ("r4t_partial_answers", 1, labels),
    ]
    recorded.clear()
    record_answer(parse_request(query="soup"), answer.model_copy(update={"partial": False}))
    assert "r4t_partial_answers" not in {name for name, _, _ in recorded}
    assert {labels["method"] for _, _, labels in recorded} == {"diffusion"}


def test_the_cache_is_counted_by_result(recorded: Recorded) -> None:
    record_cache(hits=3, misses=0)
    assert recorded == [("r4t_encoder_cache_lookups", 3, {"result": "hit"})]


def test_a_metric_that_fails_is_logged_once_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("r4t_ray.serve.observability.metrics._failed", set())
    for _ in range(2):
        record("r4t_requests", 1, path="/")  # no status
    assert [entry.getMessage()[:40] for entry in caplog.records] == ["metric r4t_requests is not recorded: Mis"]


def test_requests_and_answers_of_a_gateway(
    shop: Workspace, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = AppArgs(workspace=str(shop.root))
    batch = {"requests": [{"query": "a red scarf", "k": 2}, {"query": "a red scarf", "k": 99}]}
    broken = {"vectors": [[1.0]]}
    asked = [
        ("POST", "/v1/retrieve", {"json": {"query": "a red scarf", "k": 2}}),
        ("POST", "/v1/retrieve/", {"json": {"query": "a red scarf", "k": 2, "like": ["a scarf"]}}),
        ("POST", "/v1/retrieve:batch", {"json": batch}),
        ("POST", "/v1/search", {"json": broken}),
        ("GET", "/v1/items/p3", {}),
        ("GET", "/secret/path", {}),
    ]

    async def send() -> list[httpx.Response]:
        generator = Generator.func_or_class(args)
        async with client_in_process(generator, args, monkeypatch) as client:
            return [await client.request(method, path, **options) for method, path, options in asked]

    replies = asyncio.run(send())
    assert [reply.status_code for reply in replies] == [200, 200, 200, 422, 200, 404]
    requests: Counter[tuple[str, str]] = Counter()
    values: defaultdict[str, list[float]] = defaultdict(list)
    for name, value, labels in recorded:
        if name == "r4t_requests":
            requests[labels["path"], labels["status"]] += int(value)
        values[f"{name} {labels.get('stage') or labels.get('result') or ''}"].append(value)
    assert requests == {
        ("/v1/retrieve", "200"): 2,
        ("/v1/retrieve:batch", "200"): 1,
        ("/v1/retrieve:batch/*", "200"): 1,
        ("/v1/retrieve:batch/*", "422"): 1,
        ("/v1/search", "422"): 1,
        ("/v1/items/{item_id:path}", "200"): 1,
        ("other", "404"): 1,
    }
    answers = [replies[0].json(), replies[1].json(), replies[2].json()["answers"][0]["answer"]]
    for stage in ("encode", "generate", "wait", "search", "rest", "total"):
        assert values[f"r4t_stage_latency_ms {stage}"] == [answer["timings_ms"][stage] for answer in answers]
    for measure in ("vendi", "groundedness", "alignment"):
        assert values[f"r4t_{measure} "] == [answer["set_metrics"][measure] for answer in answers]
    # The first request embeds its query, the second its term alone, the batch nothing.
    assert values["r4t_encoder_cache_lookups miss"] == [1, 1]
    assert values["r4t_encoder_cache_lookups hit"] == [1, 1]


def test_the_metrics_of_two_nodes_are_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        {"NodeManagerAddress": "10.0.0.1", "MetricsExportPort": 8080, "Alive": True},
        {"NodeManagerAddress": "10.0.0.2", "MetricsExportPort": 8080, "Alive": True},
        {"NodeManagerAddress": "10.0.0.3", "MetricsExportPort": 8080, "Alive": False},
        {"NodeManagerAddress": "fd00::4", "MetricsExportPort": 9, "Alive": True},
        {"NodeManagerAddress": "10.0.0.5", "MetricsExportPort": -1, "Alive": True},
    ]
    head = "# HELP ray_r4t_vendi V.\n# TYPE ray_r4t_vendi histogram\n"

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "fd00::4":
            return httpx.Response(500)
        other = "# HELP ray_node_mem_used M.\n# TYPE ray_node_mem_used gauge\nray_node_mem_used 5\n"
        return httpx.Response(200, text=f'{other}{head}ray_r4t_vendi_count{{ip="{request.url.host}"}} 1.0\n')

    make_client = partial(httpx.AsyncClient, transport=httpx.MockTransport(answer))
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    monkeypatch.setattr(exposition.httpx, "AsyncClient", make_client)
    text = asyncio.run(exposition.exposition())
    assert text == head + 'ray_r4t_vendi_count{ip="10.0.0.1"} 1.0\nray_r4t_vendi_count{ip="10.0.0.2"} 1.0\n'
    monkeypatch.setattr("ray.nodes", list)
    with pytest.raises(MachineError, match="no node of Ray that exports metrics"):
        asyncio.run(exposition.exposition())


@pytest.fixture(scope="module")
def expressions(repository: Path) -> list[str]:
    """The queries of the dashboard."""
    board = json.loads((repository / "serve_configs" / "grafana.json").read_text(encoding="utf-8"))
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_the_dashboard_has_every_metric_and_no_other(expressions: list[str]) -> None:
    exported = {exported_name(name) for name in SPECS}
    samples = {
        f"{exported_name(name)}{end}": exported_name(name)
        for name, spec in SPECS.items()
        for end in (("_bucket", "_sum", "_count") if spec.buckets else ("",))
    }
    named = {name for expression in expressions for name in re.findall(r"\bray_\w+", expression)}
    assert named <= set(samples)
    assert {samples[name] for name in named} == exported


def test_the_dashboard_asks_for_labels_that_its_metrics_have(expressions: list[str]) -> None:
    labels_of = {exported_name(name): {*spec.labels, "application"} for name, spec in SPECS.items()}
    for expression in expressions:
        assert expression.count("(") == expression.count(")")
        for by, name, matchers in re.findall(r"sum(?: by \((.*?)\) )?\(rate\((\w+)\{(.*?)\}\[", expression):
            known = labels_of[re.sub(r"_(bucket|sum|count)$", "", name)] | (
                {"le"} if name.endswith("_bucket") else set()
            )
            asked = {*filter(None, by.split(", ")), *re.findall(r"(\w+)[=!]", matchers)}
            assert asked <= known, expression
        assert len(re.findall(r"\bray_\w+", expression)) == len(re.findall(r"\bsum\b", expression))
