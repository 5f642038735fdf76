"""Answers in this process, and `serve_workspace` as a process of its own: on loopback, until a signal."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from r4t_ray import cli
from r4t_ray.artifacts import Workspace
from r4t_ray.errors import ConfigError, RequestError
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.client import ask
from r4t_ray.serve.loading import retriever_folder
from r4t_ray.serve.local import LocalRetriever, answer_locally, check_address
from r4t_ray.serve.schema import parse_request
from r4t_ray.serve.served_task import load_tasks

from .conftest import ADDED_ITEMS, ADDED_SETS, LABELS, NUM_ROWS

PROGRAM = """
import sys
from r4t_ray.serve.local import serve_workspace
serve_workspace(sys.argv[1], port=int(sys.argv[2]))
"""


@pytest.fixture
def server(tiny_workspace: Workspace) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", PROGRAM, str(tiny_workspace.root), str(port)]
    process = subprocess.Popen(command, env=environment)
    yield process, f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server left early"
        try:
            if httpx.get(f"{url}/healthz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass  # Not listening yet.
        time.sleep(0.5)
    pytest.fail(f"no healthy server in {seconds} s")


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_served_workspace_answers_and_stops_on_sigterm(
    server: tuple[subprocess.Popen[bytes], str], tiny_workspace: Workspace
) -> None:
    process, url = server
    wait_for(url, process, 240)
    request = parse_request(query="a warm soup", k=2, n=3)
    over_http, locally = ask(url, request), answer_locally(tiny_workspace.root, request)
    assert over_http.directions[0].items[0].id == locally.directions[0].items[0].id
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/healthz", timeout=2)


def test_a_taken_or_foreign_address_is_refused_before_ray_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}"):
            check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)
    with pytest.raises(ConfigError, match="address of this machine"):
        check_address("203.0.113.1", 8000)


def test_a_local_answer_is_steered_and_its_directions_are_named(tiny_workspace: Workspace) -> None:
    local = LocalRetriever(tiny_workspace.root)
    plain = local.answer(parse_request(query="a warm soup", k=4, n=3))
    assert {direction.label for direction in plain.directions} <= set(LABELS)
    first = plain.directions[0].items[0]
    without = local.answer(parse_request(query="a warm soup", k=4, n=3, avoid=[first.id]))
    assert first.id not in {item.id for item in without.items}
    assert all(len(direction.items) == 3 for direction in without.directions)
    by_id, in_words = (
        local.answer(parse_request(query="a warm soup", k=4, n=3, like=[wish], strength=2.0))
        for wish in (first.id, first.text)
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
        answer_locally(tiny_workspace.root, parse_request(query=asked[1], k=4, n=3, **options))
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


@pytest.mark.parametrize(("task", "added"), [("oar", ADDED_SETS), ("wscr", ADDED_ITEMS)])
def test_what_was_added_is_found_liked_and_avoided(
    tiny_workspace: Workspace, grown_workspace: Workspace, task: str, added: dict[str, str]
) -> None:
    before, local = LocalRetriever(tiny_workspace.root), LocalRetriever(grown_workspace.root)
    asked = {"query": "a warm soup", "k": NUM_ROWS, "task": task}
    whole = local.answer(parse_request(**asked, n=1000))
    old = before.answer(parse_request(**asked, n=1000))
    assert {item.id: item.text for item in whole.items} == {item.id: item.text for item in old.items} | added
    key, text = list(added.items())[-1]
    wish = {"strength": 4.0, "n": 1}
    by_id, in_words = (local.answer(parse_request(**asked, **wish, like=[like])) for like in (key, text))
    assert by_id.directions == in_words.directions
    assert key in {item.id for item in in_words.items}
    assert text in {item.text for item in in_words.items}
    without = local.answer(parse_request(**asked, **wish, like=[text], avoid=[key]))
    assert key not in {item.id for item in without.items}
    assert all(len(direction.items) == 1 for direction in without.directions)


def test_an_added_twin_has_the_cosine_of_its_elder(grown_workspace: Workspace) -> None:
    answer = LocalRetriever(grown_workspace.root).answer(parse_request(query="a warm soup", k=4, n=20, task="wscr"))
    for direction in answer.directions:
        score_of = {item.id: item.score for item in direction.items}
        assert score_of["i-more lentil"] == pytest.approx(score_of["i-lentil"], abs=1e-5)
        assert len({round(score, 4) for score in score_of.values()}) > 10
        assert list(score_of.values()) == sorted(score_of.values(), reverse=True)


def test_guidance_that_would_say_nothing_is_refused(tiny_workspace: Workspace) -> None:
    served = load_tasks(tiny_workspace, AppArgs(), with_index=False)["oar"]
    student = replace(served, model=served.model.model_copy(update={"solver": "one_step"}))
    assert student.ask(parse_request(query="soup")).guidance is None
    with pytest.raises(RequestError, match="the solver one_step takes no guidance"):
        student.ask(parse_request(query="soup", guidance=1.0))


def test_the_student_answers_unless_the_sampler_is_set(tiny_workspace: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    shutil.copytree(tiny_workspace.root, workspace.root)
    oar = workspace.root / "diffusion" / "oar"
    assert retriever_folder(workspace, "oar", AppArgs()) == oar
    shutil.copytree(oar, oar / "student")
    assert retriever_folder(workspace, "oar", AppArgs()) == oar / "student"
    for stated in ({"solver": "euler"}, {"num_steps": 4}, {"guidance": 0.5}):
        assert retriever_folder(workspace, "oar", AppArgs(**stated)) == oar
