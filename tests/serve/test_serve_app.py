"""One application over a workspace after `r4t add`: a gateway, a generator and two shard deployments per task."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import ray
from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.client import Client
from r4t_ray.errors import RequestError
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.response import RetrieveResponse
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.app import AppArgs, build_app
from r4t_ray.serve.observability.metrics import SPECS, exported_name

from ..conftest import ADDED_ITEMS, ADDED_SETS, NUM_ROWS
from .conftest import BAD_BODIES

QUERY = "warm soup for a cold day"


@pytest.fixture(scope="module")
def query_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "queries.jsonl"


@pytest.fixture(scope="module")
def url(grown_workspace: Workspace, query_log: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    args = AppArgs(
        models="deployed",
        workspace=str(grown_workspace.root),
        shards="deployed",
        json_logs=True,
        query_log=query_log,
    )
    serve.run(build_app(args), name="r4t")
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()


@pytest.fixture(scope="module")
def local(grown_workspace: Workspace) -> Retriever:
    return Retriever(grown_workspace.root)


def ids_and_scores(answer: RetrieveResponse) -> tuple[list[list[str]], list[float]]:
    ids = [[item.id for item in direction.items] for direction in answer.directions]
    return ids, [item.score for direction in answer.directions for item in direction.items]


def assert_same(left: RetrieveResponse, right: RetrieveResponse) -> None:
    (left_ids, left_scores), (right_ids, right_scores) = ids_and_scores(left), ids_and_scores(right)
    assert left_ids == right_ids
    assert left_scores == pytest.approx(right_scores, abs=1e-5)
    assert [item.id for item in left.items] == [item.id for item in right.items]
    assert left.model == right.model
    assert left.set_metrics.model_dump() == pytest.approx(right.set_metrics.model_dump(), abs=1e-4)


@pytest.mark.parametrize("task", ["oar", "wscr"])
@pytest.mark.parametrize(("k", "n", "seed"), [(1, 1, 0), (4, 5, 0), (NUM_ROWS, 1000, 7)])
def test_two_deployed_shards_answer_as_one_process_does(
    url: str, local: Retriever, task: str, k: int, n: int, seed: int
) -> None:
    answer = Client(url).retrieve(parse_request(query=QUERY, k=k, n=n, seed=seed, task=task))
    assert_same(answer, local.answer(parse_request(query=QUERY, k=k, n=n, seed=seed, task=task)))
    assert len(answer.directions) == k
    pool = 48 + len(ADDED_SETS) if task == "oar" else 18 + len(ADDED_ITEMS)
    listed = [item.id for direction in answer.directions for item in direction.items]
    if task == "oar":
        for direction in answer.directions:
            scores = [item.score for item in direction.items]
            assert scores == sorted(scores, reverse=True)
            assert len({item.id for item in direction.items}) == min(n, pool)
    else:
        assert len(set(listed)) == len(listed) == min(k * n, pool)
    union = set(listed)
    assert {item.id for item in answer.items} == union
    for item in answer.items:
        found_by = [d.index for d in answer.directions if item.id in {hit.id for hit in d.items}]
        assert item.directions == found_by
    prefix = "s-" if task == "oar" else "i-"
    assert all(item.id.startswith(prefix) and item.text for item in answer.items)


def test_the_same_seed_gives_the_same_answer_beside_any_other_request(url: str) -> None:
    first = Client(url).retrieve(parse_request(query=QUERY, k=4, n=3, seed=11))
    with ThreadPoolExecutor(12) as pool:
        others = [
            parse_request(query=f"dinner number {i}", k=4, n=3, seed=i, task=("oar", "wscr")[i % 2]) for i in range(12)
        ]
        beside = [pool.submit(Client(url).retrieve, other) for other in others]
        again = [pool.submit(Client(url).retrieve, parse_request(query=QUERY, k=4, n=3, seed=11)) for _ in range(4)]
    for future in again:
        assert_same(first, future.result())
    assert len({tuple(ids_and_scores(future.result())[1]) for future in beside}) > 6
    assert ids_and_scores(Client(url).retrieve(parse_request(query=QUERY, k=4, n=3, seed=12))) != ids_and_scores(first)


def test_defaults_of_task_k_and_n_come_from_the_arguments(url: str) -> None:
    answer = httpx.post(f"{url}/v1/retrieve", json={"query": QUERY, "k": 3}).json()
    assert answer["task"] == "oar"
    assert [len(direction["items"]) for direction in answer["directions"]] == [10, 10, 10]
    assert answer["model"]["num_rows"] == NUM_ROWS
    assert answer["model"]["solver"] == "heun"
    assert (answer["partial"], answer["shards"]) == (False, {"ok": 3, "total": 3})  # the new entries are the third
    assert set(answer["timings_ms"]) == {"encode", "generate", "wait", "search", "rest", "total"}
    batch = [{"query": QUERY, "k": 3}, {"query": QUERY, "k": 99}, {"like": ["s-lentil-soup"], "k": 3, "method": "mmr"}]
    sent = {"X-Request-ID": "abc-1"}
    reply = httpx.post(f"{url}/v1/retrieve:batch/", json={"requests": batch}, headers=sent, timeout=60)
    first, refused, completed = reply.json()["answers"]
    assert [one["status"] for one in (first, refused, completed)] == [200, 422, 200]
    assert first["answer"]["items"] == answer["items"]
    assert len(completed["answer"]["items"]) == 30
    assert reply.json()["request_id"] == "abc-1"


def test_bad_input_is_a_4xx_that_says_what_to_do(url: str) -> None:
    for name, (body, status, where) in BAD_BODIES.items():
        reply = httpx.post(f"{url}/v1/retrieve", content=body, headers={"Content-Type": "application/json"})
        assert reply.status_code == status, name
        assert reply.json()["error"]["where"] == where, name
        assert "Traceback" not in reply.text, name
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_the_client_repeats_what_the_server_said(url: str) -> None:
    with pytest.raises(RequestError, match=f"k: got {NUM_ROWS + 1}; expected 1 to {NUM_ROWS}"):
        Client(url).retrieve(parse_request(query=QUERY, k=NUM_ROWS + 1))
    with pytest.raises(RequestError, match="Not Found"):
        Client(f"{url}/elsewhere/docs").retrieve(parse_request(query=QUERY))


def test_the_client_has_the_other_endpoints(url: str) -> None:
    with Client(url) as client:
        assert client.index().tasks["oar"].size == 48 + len(ADDED_SETS)
        assert client.item("i-lentil", task="wscr").text == "lentil"
        (direction,) = client.fanout(QUERY, k=1, task="oar").directions
        ((nearest,),) = client.search([direction.vector], n=1, task="oar").results
        (entry,) = client.retrieve_batch([{"query": QUERY, "k": 1, "n": 1, "task": "oar"}]).answers
    assert entry.answer is not None
    assert [item.id for item in entry.answer.items] == [nearest.id]


def test_the_client_says_when_there_is_no_server() -> None:
    with pytest.raises(RequestError, match=r"no connection.*r4t serve"):
        Client("http://127.0.0.1:9", timeout_s=5).retrieve(parse_request(query=QUERY))
    with pytest.raises(RequestError, match="no connection"):
        Client("nonsense").retrieve(parse_request(query=QUERY))


def test_health_docs_and_page(url: str) -> None:
    health = httpx.get(f"{url}/healthz")
    assert health.status_code == 200
    assert health.json()["status"] == "ok"
    assert {task: model["num_new_entries"] for task, model in health.json()["tasks"].items()} == {"oar": 1, "wscr": 2}
    assert httpx.get(f"{url}/docs").status_code == 200
    schema = httpx.get(f"{url}/openapi.json").json()
    post = schema["paths"]["/v1/retrieve"]["post"]
    assert {"200", "413", "422", "429"} <= set(post["responses"])
    assert schema["components"]["schemas"]["RetrieveRequest"]["properties"]["query"]["anyOf"][0]["maxLength"] == 2000
    page = httpx.get(url)
    assert page.headers["content-type"].startswith("text/html")
    assert all(f'<option value="{task}">' in page.text for task in ("oar", "wscr"))
    for outside in ("http://", "https://", "src=", "@import", "innerHTML"):
        assert outside not in page.text


def test_a_filter_and_a_cap_over_http(url: str, local: Retriever) -> None:
    wanted = {"filter": {"range": ["rank", {"gte": 8}]}, "max_per": {"attribute": "roles", "n": 2}, "task": "wscr"}
    answer = Retriever(url).retrieve(QUERY, k=2, with_payload=True, **wanted)
    assert_same(answer, local.retrieve(QUERY, k=2, **wanted))
    assert [(item.payload or {})["rank"] >= 8 for item in answer.items] == [True] * 4
    schemas = httpx.get(f"{url}/openapi.json").json()["components"]["schemas"]
    form = schemas["RetrieveRequest"]["properties"]["filter"]["anyOf"][0]["$ref"].rsplit("/", 1)[1]
    assert {"and", "any", "eq", "exists", "in", "not", "or", "range"} == set(schemas[form]["properties"])
    reply = httpx.post(f"{url}/v1/retrieve", json={"query": QUERY, "k": 2, "filter": {"and": [{"exists": "colour"}]}})
    assert (reply.status_code, reply.json()["error"]["where"]) == (422, "filter.and.0.exists")


@pytest.mark.usefixtures("url")
def test_every_shard_is_a_separate_deployment() -> None:
    deployments = serve.status().applications["r4t"].deployments
    shards = {f"shard_{index}_{number:03d}" for index in ("oar", "wscr", "decoder") for number in range(2)}
    assert set(deployments) == {"Gateway", "Generator", "Writer"} | shards


def test_one_process_refuses_as_the_server_does(tiny_workspace: Workspace) -> None:
    with pytest.raises(RequestError, match="expected 1 to 6"):
        Retriever(tiny_workspace.root).retrieve(QUERY, k=7)


def test_the_front_door_answers_from_a_server_as_from_a_workspace(url: str, local: Retriever) -> None:
    wanted = {"k": 3, "n": 4, "seed": 5, "like": ["pie"], "temperature": 1.5}
    assert_same(Retriever(url).retrieve(QUERY, **wanted), local.retrieve(QUERY, **wanted))


def test_the_request_is_in_the_query_log_and_in_the_log_of_the_gateway(url: str, query_log: Path) -> None:
    sent = {"X-Request-ID": "abc-log"}
    reply = httpx.post(f"{url}/v1/retrieve", json={"query": "a logged query", "k": 2}, headers=sent)
    assert reply.status_code == 200
    folder = Path(ray._private.worker._global_node.get_logs_dir_path(), "serve")
    deadline = time.monotonic() + 20
    asked: list[str] = []
    lines: list[dict[str, object]] = []
    while time.monotonic() < deadline and not (asked and lines):
        asked = [line for line in query_log.read_text(encoding="utf-8").splitlines() if "abc-log" in line]
        text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("replica_r4t_Gateway_*.log"))
        lines = [json.loads(line) for line in text.splitlines() if "abc-log" in line]
    assert [json.loads(line)["text"] for line in asked] == ["a logged query"]
    names = ("path", "status", "task", "method", "partial", "deployment")
    assert [tuple(line[name] for name in names) for line in lines] == [
        ("/v1/retrieve", 200, "oar", "diffusion", False, "r4t_Gateway")
    ]
    assert "a logged query" not in text


def test_every_metric_is_exported(url: str) -> None:
    """The last test: each process exports its metrics every ten seconds, the proxy later than our own."""
    expected = {exported_name(name) for name in SPECS if name != "r4t_partial_answers"}
    expected.add("ray_serve_num_http_requests_total")
    deadline, found = time.monotonic() + 40, set[str]()
    while time.monotonic() < deadline and not expected <= found:
        reply = httpx.get(f"{url}/metrics", timeout=20)
        if reply.status_code == 503:  # on a busy machine the node needs more than five seconds
            continue
        assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = {line.split(" ")[2] for line in reply.text.splitlines() if line.startswith("# TYPE ")}
        time.sleep(0.5)
    assert expected <= found
    assert all(name.startswith(("ray_r4t_", "ray_serve_")) for name in found)
    assert 'path="/v1/retrieve",' in reply.text
    assert 'deployment="Generator"' in reply.text
