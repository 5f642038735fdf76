"""The commands `r4t write-log` and `r4t write-expansions`, from the command line to the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r4t_ray import cli
from r4t_ray.artifacts import Workspace
from tests.annotation.test_expansions import wishes
from tests.endpoints.chat_server import serving

KEY = "R4T_TEST_CHAT_KEY"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["r4t", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_expansions_are_written_with_the_key_of_the_environment(
    indexed_workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, root = tmp_path / "expansions.jsonl", indexed_workspace.root
    with serving(wishes) as server:
        asked = ("write-expansions", "--workspace", root, "--url", server.url, "--model", "m", "--out", out)
        assert run(monkeypatch, *asked, "--api-key-env", KEY) == 2
        assert KEY in capsys.readouterr().err
        assert not server.seen
        monkeypatch.setenv(KEY, "a-secret")
        assert run(monkeypatch, *asked, "--api-key-env", KEY) == 0
    assert {body["key"] for body in server.seen} == {"Bearer a-secret"}
    said = capsys.readouterr()
    assert "48 of 48 entries have expansions\n" in said.out
    assert f"set catalogue.expansions: {out}" in said.out
    assert "a-secret" not in said.out + said.err + out.read_text(encoding="utf-8")


def test_a_log_is_written(
    indexed_workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def reply(prompt: str) -> str:
        is_for_wishes = "type into the search box" in prompt
        return json.dumps({"requests": [{"request": "a cold night"}]} if is_for_wishes else {"fits": [2, 1]})

    out = tmp_path / "log.jsonl"
    with serving(reply) as server:
        asked = ("write-log", "--workspace", indexed_workspace.root, "--url", server.url, "--model", "m")
        assert run(monkeypatch, *asked, "--out", out, "--num", 1, "--about", "dishes") == 0
    (record,) = (json.loads(line) for line in out.read_text(encoding="utf-8").splitlines())
    assert (record["text"], len(record["set_ids"])) == ("a cold night", 2)
    said = capsys.readouterr().out
    assert "1 queries, on average with 2.0 entries" in said
    assert "left out in this run: none" in said
