"""The expansions that a language model writes, by a chat endpoint that echoes the entries of a prompt."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from r4t_ray.annotation.expansion_prompts import expansion_prompt, read_expansions
from r4t_ray.annotation.expansions import ENTRIES_PER_CALL, write_expansions
from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import CatalogueConfig, load_sets
from r4t_ray.catalogue import run as run_ingest
from r4t_ray.catalogue.expansions import read_expansions as read_file
from r4t_ray.endpoints.chat import ChatEndpoint
from r4t_ray.errors import DataError, MachineError
from tests.conftest import SEED, write_catalogue
from tests.endpoints.chat_server import ChatServer, serving


def wishes(prompt: str) -> str:
    """Two wishes for each entry of the prompt, made of its title."""
    entries = re.findall(r"^(\d+)\. (.*?) \(", prompt, re.MULTILINE)
    return json.dumps({number: [f"wish for {title}", f"mood for {title}"] for number, title in entries})


def endpoint(server: ChatServer) -> ChatEndpoint:
    return ChatEndpoint(
        base_url=server.url, model="m", key=None, key_from="no key", timeout_s=5, max_retries=0, max_concurrency=1
    )


def test_each_entry_gets_its_own_wishes(indexed_workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "expansions.jsonl"
    with serving(wishes) as server:
        written = write_expansions(out, "dishes", indexed_workspace, endpoint(server))
        assert len(server.seen) == -(-48 // ENTRIES_PER_CALL)
        assert "A catalogue of dishes has" in server.seen[0]["messages"][0]["content"]
    assert (written.num_expanded, written.num_entries) == (48, 48)
    expected = {row.set_id: [f"wish for {row.title}", f"mood for {row.title}"] for row in load_sets(indexed_workspace)}
    assert read_file(out, has_sets=True) == expected


def test_a_file_is_continued_with_the_entries_that_it_lacks(indexed_workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "expansions.jsonl"
    first, *others = load_sets(indexed_workspace)
    mine: dict[str, Any] = {"set_id": first.set_id, "text": "my own words", "note": "kept"}
    out.write_text(json.dumps(mine), encoding="utf-8")
    with serving(wishes) as server:
        server.plan = {0: 500}
        with pytest.raises(MachineError, match="500"):  # the first call of a run fails
            write_expansions(out, "", indexed_workspace, endpoint(server))
        assert out.read_text(encoding="utf-8") == f"{json.dumps(mine)}\n"
        server.plan = {2: 500}
        write_expansions(out, "", indexed_workspace, endpoint(server))  # a later one: its entries are asked for again
        assert len(server.seen) == 1 + -(-47 // ENTRIES_PER_CALL) + 1
    assert json.loads(out.read_text(encoding="utf-8").splitlines()[0]) == mine
    found = read_file(out, has_sets=True)
    assert found[first.set_id] == ["my own words"]
    assert set(found) == {row.set_id for row in (first, *others)}


def test_items_without_sets_are_named_by_item_id(ray_session: str, tmp_path: Path) -> None:
    chosen = TypeAdapter(CatalogueConfig).validate_python(write_catalogue(tmp_path / "files"))
    workspace, out = Workspace(tmp_path / "workspace"), tmp_path / "expansions.jsonl"
    run_ingest(chosen.model_copy(update={"sets": None}), workspace, SEED)
    with serving(lambda prompt: json.dumps({"1": ["a wish"]})) as server:
        written = write_expansions(out, "", workspace, endpoint(server))
    assert "rice; " not in server.seen[0]["messages"][0]["content"]  # an item has no items
    assert written.num_expanded < written.num_entries  # the replies leave entries out
    assert all(set(json.loads(line)) == {"item_id", "text"} for line in out.read_text("utf-8").splitlines())


def test_a_model_without_wishes_ends_the_run(indexed_workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "expansions.jsonl"
    with (
        serving(lambda prompt: "Sorry, no.") as server,
        pytest.raises(MachineError, match=r"m at .*3 rounds that brought nothing .*'Sorry, no.'"),
    ):
        write_expansions(out, "", indexed_workspace, endpoint(server))
    assert not out.exists()
    out.write_text('{"text": "a log", "set_ids": []}\n', encoding="utf-8")
    with serving(wishes) as server, pytest.raises(DataError, match="no field 'set_id'"):
        write_expansions(out, "", indexed_workspace, endpoint(server))


@pytest.mark.parametrize("reply", ["", "[]", '{"1": "soup"}', '{"3": ["a"]}', '{"1": [3, "", "word " ]', '{"1": []}'])
def test_a_reply_of_another_form_has_no_wishes(reply: str) -> None:
    assert read_expansions(reply, 2) == {}


def test_a_prompt_numbers_its_entries_and_repeats_are_dropped() -> None:
    assert "\n1. a {x}\n2. b\n" in expansion_prompt("", ["a {x}", "b"])
    assert read_expansions('{"2": ["a", "a ", "b"]}', 2) == {1: ["a", "b"]}
