"""Answers in this process, without Ray and without an event loop."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from r4t_ray import cli
from r4t_ray.artifacts import Workspace
from r4t_ray.diffusion import DiffusionRetriever, NetworkConfig, NoiseConfig, SamplerConfig
from r4t_ray.errors import RequestError
from r4t_ray.index import search_shards
from r4t_ray.retrieval.backend import DirectionGenerator
from r4t_ray.retrieval.generation import Generated, GenerationRequest, generation_request
from r4t_ray.retrieval.loading import open_tasks, retriever_folder
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.response import RetrieveResponse
from r4t_ray.retrieval.retriever import Retriever, retrieve
from r4t_ray.retrieval.settings import RetrievalSettings
from r4t_ray.types import Fetch, IndexName, Search

from ..conftest import ADDED_ITEMS, ADDED_SETS, DIM, FORMS, LABELS, MAINS, NUM_ROWS, settled


def test_a_local_answer_is_steered_and_its_directions_are_named(tiny_workspace: Workspace) -> None:
    local = Retriever(tiny_workspace.root)
    plain = local.answer(parse_request(query="a warm soup", k=4, n=3))
    assert {direction.label for direction in plain.directions} <= set(LABELS)
    first = plain.directions[0].items[0]
    without = local.answer(parse_request(query="a warm soup", k=4, n=3, avoid=[first.id]))
    assert first.id not in {item.id for item in without.items}
    assert all(len(direction.items) == 3 for direction in without.directions)
    by_id, in_words = (
        local.answer(parse_request(query="a warm soup", k=4, n=3, like=[term], strength=2.0))
        for term in (first.id, first.text)
    )
    assert by_id.directions == in_words.directions != plain.directions
    assert max(item.score for item in by_id.items if item.id == first.id) >= first.score
    assert local.answer(parse_request(query="a warm soup", k=4, n=3, temperature=3.0)).items != plain.items
    assert local.answer(parse_request(query="a warm soup", k=4, n=3, guidance=3.0)).items != plain.items
    items_task = local.answer(parse_request(query="a warm soup", k=2, n=3, task="wscr"))
    assert {direction.label for direction in items_task.directions} == {None}


def test_the_command_names_the_directions_and_steers_them(
    tiny_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("query", "a [bold]warm[/bold] :pie: soup", "--local", "-w", str(tiny_workspace.root), "-k", "4", "-n", "3")
    monkeypatch.setenv("COLUMNS", "200")

    def printed(*options: str) -> str:
        outcome = CliRunner().invoke(cli.app, [*asked, *options], catch_exceptions=False)
        assert outcome.exit_code == 0
        return outcome.output

    steering = {"like": ("lentil", "soup"), "avoid": ("pie",), "strength": 2.0, "temperature": 1.5, "guidance": 1.0}
    plain, steered = (
        Retriever(tiny_workspace.root).answer(parse_request(query=asked[1], k=4, n=3, **options))
        for options in ({}, steering)
    )
    assert plain.directions != steered.directions
    options = ["--like", "lentil", "--like", "soup", "--avoid", "pie"]
    options += ["--strength", "2", "--temperature", "1.5", "--guidance", "1"]
    for answer, table in ((plain, printed()), (steered, printed(*options))):
        assert asked[1] in table
        for direction in answer.directions:
            assert f"{direction.index + 1} {direction.label}" in table
            for item in direction.items:
                assert f"{item.text} ({item.score:.2f})" in table


def test_the_command_prints_the_body_of_the_service(
    tiny_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("a soup for Zoë", "-k", "4", "-n", "3", "--seed", "5", "--json")
    answer = Retriever(tiny_workspace.root).answer(parse_request(query=asked[0], k=4, n=3, seed=5))
    service = FastAPI()

    @service.post("/v1/retrieve")
    async def retrieve_there() -> RetrieveResponse:
        return answer

    def printed(*options: str) -> str:
        monkeypatch.setattr("sys.argv", ["r4t", "query", *asked, *options])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert not caught.value.code
        return capsys.readouterr().out

    reply = TestClient(service).post("/v1/retrieve")
    monkeypatch.setattr("httpx.Client.request", lambda *arguments, **options: reply)
    local, served = printed("--local", "-w", str(tiny_workspace.root)), printed()
    assert served == reply.text + "\n" == answer.model_dump_json() + "\n"
    assert settled(json.loads(local)) == settled(answer)


def test_the_command_completes_entries_and_sets_other_fields(tiny_workspace: Workspace) -> None:
    first = f"s-{MAINS[0]}-{FORMS[0]}"
    options = ["--like", first, "--total", "3", "--field", "method=mmr", "--field", "dedupe=true", "-k", "2", "--json"]
    outcome = CliRunner().invoke(cli.app, ["query", "--local", "-w", str(tiny_workspace.root), *options])
    assert outcome.exit_code == 0, outcome.output
    local = Retriever(tiny_workspace.root)
    expected = local.retrieve(like=[first], total=3, method="mmr", dedupe=True, k=2)
    assert settled(json.loads(outcome.output)) == settled(expected)
    assert first not in {item.id for item in expected.items}
    whole = local.retrieve(like=[first], method="none", total=1000, k=1)
    assert len(whole.items) == 47
    assert whole.directions[0].label is None


@pytest.mark.parametrize(("task", "added"), [("oar", ADDED_SETS), ("wscr", ADDED_ITEMS)])
def test_new_entries_are_found_liked_and_avoided(
    tiny_workspace: Workspace, grown_workspace: Workspace, task: str, added: dict[str, str]
) -> None:
    before, local = Retriever(tiny_workspace.root), Retriever(grown_workspace.root)
    asked = {"query": "a warm soup", "k": NUM_ROWS, "task": task}
    whole = local.answer(parse_request(**asked, n=1000))
    old = before.answer(parse_request(**asked, n=1000))
    assert {item.id: item.text for item in whole.items} == {item.id: item.text for item in old.items} | added
    key, text = list(added.items())[-1]
    steered = {"strength": 4.0, "n": 1}
    by_id, in_words = (local.answer(parse_request(**asked, **steered, like=[like])) for like in (key, text))
    assert by_id.directions == in_words.directions
    assert key in {item.id for item in in_words.items}
    assert text in {item.text for item in in_words.items}
    without = local.answer(parse_request(**asked, **steered, like=[text], avoid=[key]))
    assert key not in {item.id for item in without.items}
    assert all(len(direction.items) == 1 for direction in without.directions)


@pytest.mark.parametrize(
    ("task", "wanted", "found"),
    [
        ("wscr", {"eq": ["roles", "form"]}, {f"i-{form} base" for form in FORMS}),
        ("wscr", {"eq": ["origin", "added"]}, set(ADDED_ITEMS)),
        ("wscr", {"not": {"exists": "origin"}}, "all but the new"),
        ("oar", {"any": {"range": ["rank", {"lt": 1}]}}, {f"s-{MAINS[0]}-{form}" for form in FORMS}),
        ("oar", {"exists": "origin"}, set(ADDED_SETS)),
        ("oar", {"exists": "rank"}, "all but the new"),
    ],
)
def test_only_entries_that_pass_the_filter_are_found(
    grown_workspace: Workspace, task: str, wanted: dict[str, object], found: object
) -> None:
    local, asked = Retriever(grown_workspace.root), {"query": "a warm soup", "k": 4, "task": task}
    if found == "all but the new":
        everything = {item.id for item in local.retrieve(**asked, n=1000).items}
        found = everything - set(ADDED_ITEMS) - set(ADDED_SETS)
    answer = local.retrieve(**asked, n=1000, filter=wanted)
    assert {item.id for item in answer.items} == found
    capped = {"attribute": "roles", "n": 1}
    if task == "oar":
        with pytest.raises(RequestError, match="max_per: got a cap for a pool of collections"):
            local.retrieve(**asked, max_per=capped)
    else:
        roles = [item.payload for item in local.retrieve(**asked, total=9, max_per=capped, with_payload=True).items]
        named = [role for payload in roles for role in (payload or {}).get("roles", [])]
        assert sorted(named) == ["form", "main", "staple"]
        assert [payload for payload in roles if "roles" not in (payload or {})] == [{"origin": "added"}] * 2


def test_the_command_filters_and_caps(tiny_workspace: Workspace) -> None:
    asked = [
        "query",
        "soup",
        "--local",
        "-w",
        str(tiny_workspace.root),
        "--task",
        "wscr",
        "--json",
        "-k",
        "4",
        "--total",
        "5",
    ]
    options = ["--filter", '{"range": ["rank", {"gte": 8}]}', "--max-per", "roles:2"]
    outcome = CliRunner().invoke(cli.app, [*asked, *options], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    expected = Retriever(tiny_workspace.root).retrieve(
        "soup",
        k=4,
        task="wscr",
        total=5,
        filter={"range": ["rank", {"gte": 8}]},
        max_per={"attribute": "roles", "n": 2},
    )
    assert settled(json.loads(outcome.output)) == settled(expected)
    assert len(expected.items) == 4


def test_one_pass_gives_each_request_the_directions_that_it_asks_for() -> None:
    torch.manual_seed(0)
    network = NetworkConfig(num_rows=3, dim=8, hidden_size=8, mlp_size=8, num_heads=2, num_layers=1, num_anchors=40)
    retriever = DiffusionRetriever(network, NoiseConfig(), SamplerConfig(solver="top_anchors")).eval()
    retriever.mixture.anchors_ND.copy_(torch.nn.functional.normalize(torch.randn(40, 8), dim=-1))
    encoder = SimpleNamespace(encode=lambda texts, kinds: np.eye(8, dtype=np.float32)[[len(text) for text in texts]])
    generate = DirectionGenerator(encoder, {"oar": retriever}, {"oar": retriever.sampler})  # type: ignore[arg-type]
    few, many, none = (GenerationRequest(task="oar", query="pie", seed=0, k=k) for k in (5, 20, 1))
    together = generate([few, many, none])
    assert [len(one.z_LD) for one in together] == [5, 20, 3]
    for request, (z_q_D, z_LD, *_) in zip((few, many, none), together, strict=True):
        assert z_q_D.tolist() == np.eye(8)[3].tolist()
        assert np.array_equal(generate([request])[0].z_LD, z_LD)
        assert np.array_equal(z_LD, together[1].z_LD[: len(z_LD)])
    # Entry r is anchor 39 - r, and the last of 41 is new. Every second may be found.
    allowed_M = np.arange(41) % 2 == 0
    entries = DirectionGenerator(encoder, generate.retrievers, generate.samplers, {"oar": np.arange(40)[::-1]})  # type: ignore[arg-type]
    own, other = entries([replace(few, k=20, allowed_M=allowed_M), many])
    anchors_ND = retriever.mixture.anchors_ND.numpy()
    assert {39 - int((anchors_ND @ z_D).argmax()) for z_D in own.z_LD} == set(np.flatnonzero(allowed_M[:40]).tolist())
    assert np.array_equal(other.z_LD, together[1].z_LD)
    # Of two that may be found one is new. Of three two are, so the one that is an anchor is not picked before others.
    few_M, fewer_M = np.zeros(42, dtype=bool), np.zeros(42, dtype=bool)
    few_M[[39, 40]] = fewer_M[[39, 40, 41]] = True
    first, all_alike = entries([replace(few, allowed_M=few_M), replace(few, allowed_M=fewer_M)])
    assert int((anchors_ND @ first.z_LD[0]).argmax()) == 0
    assert np.array_equal(all_alike.z_LD, together[0].z_LD)


def test_a_new_entry_with_an_old_text_has_the_same_cosine(grown_workspace: Workspace) -> None:
    tasks, shards = open_tasks(grown_workspace, RetrievalSettings(), with_index=True)
    ids = tasks["wscr"].pool.ids
    z_LD = np.linalg.qr(np.random.default_rng(0).standard_normal((DIM, 4)))[0].T.astype(np.float32)
    for scores_K, rows_K in zip(*search_shards(shards["wscr"], Search(z_LD=z_LD, num_hits=20)), strict=True):
        score_of = {ids[row]: score for row, score in zip(rows_K, scores_K, strict=True)}
        assert score_of["i-more lentil"] == pytest.approx(score_of["i-lentil"], abs=1e-5)
        assert len({round(float(score), 4) for score in scores_K}) > 10
        assert scores_K.tolist() == sorted(scores_K.tolist(), reverse=True)


def test_the_decoder_scores_a_new_entry_by_its_embedding_alone(grown_workspace: Workspace) -> None:
    tasks, shards = open_tasks(grown_workspace, RetrievalSettings(), with_index=True)
    decoder, new = tasks["wscr"].decoder, tasks["wscr"].pool.row_of["i-quince jelly"]
    assert decoder is not None
    z_kD = np.eye(3, DIM, dtype=np.float32)
    only = np.array([new])
    query_kE = decoder.query_vectors(z_kD[0], z_kD)
    scores_k1, rows_k1 = search_shards(shards["decoder"], Search(z_LD=query_kE, num_hits=1, where=only))
    cosines_k1, _ = search_shards(shards["wscr"], Search(z_LD=z_kD, num_hits=1, where=only))
    shared_1, _ = search_shards(
        shards["wscr"], Search(z_LD=(decoder.shared_DD @ z_kD[0])[None], num_hits=1, where=only)
    )
    assert rows_k1.ravel().tolist() == [new] * 3
    assert scores_k1 == pytest.approx(shared_1 + decoder.beta * cosines_k1, abs=1e-4)


def test_guidance_for_a_solver_that_ignores_it_is_refused(tiny_workspace: Workspace) -> None:
    settings = RetrievalSettings(solver="one_step")
    student = open_tasks(tiny_workspace, settings, with_index=False)[0]["oar"]
    assert generation_request(parse_request(query="soup", k=1), student).guidance is None
    with pytest.raises(RequestError, match="the solver one_step takes no guidance"):
        generation_request(parse_request(query="soup", k=1, guidance=1.0), student)


def test_the_student_answers_unless_the_sampler_is_set(tiny_workspace: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    shutil.copytree(tiny_workspace.root, workspace.root)
    oar = workspace.root / "diffusion" / "oar"
    assert retriever_folder(workspace, "oar", RetrievalSettings()) == oar
    shutil.copytree(oar, oar / "student")
    assert retriever_folder(workspace, "oar", RetrievalSettings()) == oar / "student"
    for stated in ({"solver": "euler"}, {"num_steps": 4}, {"guidance": 0.5}):
        assert retriever_folder(workspace, "oar", RetrievalSettings(**stated)) == oar


def test_a_requests_guidance_replaces_the_settings(tiny_workspace: Workspace) -> None:
    asked = {"query": "a warm soup", "k": 4, "n": 3}
    low, high = (Retriever(tiny_workspace.root, RetrievalSettings(guidance=strength)) for strength in (0.2, 3.0))
    assert low.retrieve(**asked, guidance=3.0).directions == high.retrieve(**asked).directions
    assert low.retrieve(**asked).directions != high.retrieve(**asked).directions


def test_it_answers_inside_a_running_event_loop_as_in_a_notebook(tiny_workspace: Workspace) -> None:
    retriever = Retriever(str(tiny_workspace.root))
    asked = {"query": "a warm soup", "k": 3, "n": 2, "seed": 4}

    async def cell() -> RetrieveResponse:
        asyncio.get_running_loop()
        return retriever.retrieve(**asked)

    assert settled(asyncio.run(cell())) == settled(retriever.answer(parse_request(**asked)))


WITHOUT_RAY = """
import sys
from r4t_ray import Retriever
assert not {"torch", "faiss", "pyarrow", "ray"} & set(sys.modules), "named only"
Retriever("http://127.0.0.1:9")
assert not {"torch", "faiss", "pyarrow", "ray"} & set(sys.modules), "a client of a server"
import r4t_ray.retrieval.loading
assert not {"torch", "ray"} & set(sys.modules), "a process that holds one shard"
answer = Retriever(sys.argv[1]).retrieve("a warm soup", k=2, n=3, like=["lentil"])
assert len(answer.directions) == 2
assert not {"ray", "fastapi"} & set(sys.modules), "an answer in process"
"""


def test_an_answer_in_process_loads_no_ray_and_a_client_no_torch(tiny_workspace: Workspace, repository: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_RAY, str(tiny_workspace.root)]
    subprocess.run(command, cwd=repository, check=True, timeout=120)


class Recorded:
    """A backend that always answers with the same directions and hits, and records its calls."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def generate(self, request: GenerationRequest) -> Generated:
        self.asked.append(request)
        return Generated(np.eye(DIM, dtype=np.float32)[0], np.eye(2, DIM, dtype=np.float32))

    def search(self, name: IndexName, lookup: Search | Fetch) -> Any:
        if isinstance(lookup, Fetch):
            self.asked.append((name, lookup.rows.tolist()))
            return np.eye(2, DIM, dtype=np.float32)
        self.asked.append((name, lookup.num_hits, lookup.exclude))
        return np.array([[0.9], [0.8]], np.float32), np.array([[3], [4]])


def test_a_backend_gets_texts_for_generation_and_rows_to_exclude(tiny_workspace: Workspace) -> None:
    opened = open_tasks(tiny_workspace, RetrievalSettings(), with_index=False)[0]["oar"]
    backend, known = Recorded(), opened.pool.ids[7]
    request = parse_request(query="soup", k=2, n=1, seed=5, like=[known], avoid=["cheese", known])
    answer = retrieve(request, opened, backend)
    assert backend.asked == [
        GenerationRequest(
            task="oar",
            query="soup",
            seed=5,
            strength=0.5,
            like=(opened.pool.texts[7],),
            avoid=("cheese", opened.pool.texts[7]),
            k=2,
        ),
        ("oar", 1, (7,)),
        ("oar", [3, 4]),
    ]
    assert [item.id for item in answer.items] == [opened.pool.ids[3], opened.pool.ids[4]]
