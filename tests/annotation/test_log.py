"""The log that a language model writes: a real catalogue, and a chat endpoint that answers by the words of a prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from r4t_ray.annotation.entries import MAX_CHARS, entry_text, open_entries
from r4t_ray.annotation.log import Order, write_log
from r4t_ray.annotation.log_prompts import Wish, fits_prompt, read_fits, read_wishes, wishes_prompt
from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Catalogue, load_items, load_sets
from r4t_ray.catalogue.queries.log import read_log
from r4t_ray.endpoints.chat import ChatEndpoint
from r4t_ray.errors import ConfigError, DataError, MachineError
from tests.endpoints.chat_server import ChatServer, serving

WISHES = {
    "something warm for a rainy day": ["soup"],
    "a treat to bake with my grandchildren": ["pie"],
    "crunchy and raw, nothing cooked": ["salad"],
    "what astronauts eat on the moon": [],
    "something warm for rainy days": ["soup"],
}
"""Wish -> words of titles that fit it."""


class Model:
    """Writes each batch of wishes in turn, and marks the entries whose titles have a word of the wish's."""

    def __init__(self, *batches: list[str]) -> None:
        self.batches = list(batches)

    def __call__(self, prompt: str) -> str:
        if "type into the search box" in prompt:
            wishes = self.batches.pop(0) if len(self.batches) > 1 else self.batches[0]
            return json.dumps({"requests": [{"request": wish, "titles": WISHES.get(wish, [])} for wish in wishes]})
        (wish,) = re.findall(r"Someone asked a catalogue(?: of dishes)? for: (.*)", prompt)
        entries = re.findall(r"^(\d+)\. (.*?) \(", prompt, re.MULTILINE)
        return json.dumps(
            {"fits": [int(number) for number, title in entries if set(WISHES[wish]) & set(title.split())]}
        )


@pytest.fixture(autouse=True)
def _narrow_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the 16 dimensions of the toy catalogue, texts without a common word have cosines up to 0.9."""
    monkeypatch.setattr("r4t_ray.annotation.log.MAX_LIKENESS", 0.95)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving(Model(list(WISHES))) as server:
        yield server


def endpoint(server: ChatServer, **changes: Any) -> ChatEndpoint:
    made = ChatEndpoint(
        base_url=server.url, model="m", key=None, key_from="no key", timeout_s=5, max_retries=0, max_concurrency=4
    )
    return replace(made, **changes)


def titles(workspace: Workspace, word: str) -> list[str]:
    return sorted(row.set_id for row in load_sets(workspace) if word in row.title.split())


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_log_names_what_the_model_marked(indexed_workspace: Workspace, server: ChatServer, tmp_path: Path) -> None:
    out = tmp_path / "new" / "log.jsonl"
    written = write_log(Order(out=out, num=3, about="dishes"), indexed_workspace, endpoint(server))
    rows = records(out)
    assert [row["text"] for row in rows] == list(WISHES)[:3]
    assert all(row["set_ids"] == titles(indexed_workspace, WISHES[row["text"]][0]) for row in rows)
    assert all(row["set_ids"] for row in rows)
    assert (written.num_queries, written.num_relevant) == (3, sum(len(row["set_ids"]) for row in rows))
    everything = Catalogue(items=tuple(load_items(indexed_workspace)), sets=tuple(load_sets(indexed_workspace)))
    assert [line.tasks for line in read_log(out, everything)] == [("oar",)] * 3
    asked = [body["messages"][0]["content"] for body in server.seen]
    assert any("a catalogue of dishes for: something warm" in prompt for prompt in asked)
    assert [path.name for path in out.parent.iterdir()] == ["log.jsonl"]


def test_a_wish_without_a_fitting_entry_or_like_an_earlier_one_is_left_out(
    indexed_workspace: Workspace, tmp_path: Path
) -> None:
    first, second, third, none, near = WISHES
    with serving(Model([none, first, second], [near, f"{second.upper()}!", third])) as server:
        written = write_log(Order(out=tmp_path / "log.jsonl", num=3), indexed_workspace, endpoint(server))
    assert [row["text"] for row in records(tmp_path / "log.jsonl")] == [first, second, third]
    assert written.left_out == {"without a fitting entry": 1, "like an earlier one": 2}


def test_a_log_is_continued_and_its_lines_stay_as_a_person_edited_them(
    indexed_workspace: Workspace, server: ChatServer, tmp_path: Path
) -> None:
    out = tmp_path / "log.jsonl"
    write_log(Order(out=out, num=1), indexed_workspace, endpoint(server))
    edited = json.dumps(records(out)[0] | {"split": "test", "note": "mine"})
    out.write_text(edited, encoding="utf-8")
    server.seen.clear()
    assert write_log(Order(out=out, num=2), indexed_workspace, endpoint(server)).num_queries == 2
    assert out.read_text(encoding="utf-8").splitlines()[0] == edited
    assert records(out)[1]["text"] == list(WISHES)[1]
    assert next(iter(WISHES)) in server.seen[0]["messages"][0]["content"]  # among the earlier ones
    server.seen.clear()
    assert write_log(Order(out=out, num=2), indexed_workspace, endpoint(server)).num_queries == 2
    assert not server.seen


def test_a_failed_call_costs_its_wish_alone(indexed_workspace: Workspace, server: ChatServer, tmp_path: Path) -> None:
    server.plan = {1: 500, 2: "I would rather not."}
    written = write_log(
        Order(out=tmp_path / "log.jsonl", num=3), indexed_workspace, endpoint(server, max_concurrency=1)
    )
    assert written.num_queries == 3
    assert written.left_out["without a usable reply"] == 2


def test_a_refused_prompt_after_a_good_one_is_an_empty_round(indexed_workspace: Workspace, tmp_path: Path) -> None:
    with serving(Model(list(WISHES)[:1], list(WISHES)[1:3])) as server:
        server.plan = {2: 400}  # the prompt for the wishes of the second round
        written = write_log(Order(out=tmp_path / "log.jsonl", num=3), indexed_workspace, endpoint(server))
    assert (written.num_queries, written.left_out) == (3, {"replies without wishes": 1})


def test_a_line_that_a_killed_run_left_unfinished_is_removed(
    indexed_workspace: Workspace, server: ChatServer, tmp_path: Path
) -> None:
    out = tmp_path / "log.jsonl"
    write_log(Order(out=out, num=1), indexed_workspace, endpoint(server))
    whole = out.read_bytes()
    out.write_bytes(whole + whole[:20])
    write_log(Order(out=out, num=1), indexed_workspace, endpoint(server))
    assert out.read_bytes() == whole


def test_likeness_counts_from_the_mean_cosine_of_the_entries(indexed_workspace: Workspace) -> None:
    entries = open_entries(indexed_workspace)
    emb_MD = entries.index.emb_MD
    assert abs(entries.mean_cosine - float((emb_MD @ emb_MD.T).mean())) < 1e-5


def test_an_endpoint_that_is_down_leaves_what_was_written(
    indexed_workspace: Workspace, server: ChatServer, tmp_path: Path
) -> None:
    out = tmp_path / "log.jsonl"
    write_log(Order(out=out, num=1), indexed_workspace, endpoint(server))
    before = out.read_bytes()
    server.plan = dict.fromkeys(range(99), 503)
    with pytest.raises(MachineError, match=r"503.*run the command again"):
        write_log(Order(out=out, num=2), indexed_workspace, endpoint(server))
    assert out.read_bytes() == before


def test_a_model_that_writes_nothing_new_ends_the_run(indexed_workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "log.jsonl"
    with (
        serving(Model(list(WISHES))) as server,
        pytest.raises(MachineError, match=r"3 rounds that brought nothing .*like an earlier one.*the 3 queries"),
    ):
        write_log(Order(out=out, num=9), indexed_workspace, endpoint(server))
    assert len(records(out)) == 3
    with (
        serving(lambda prompt: "Sorry.") as server,
        pytest.raises(MachineError, match=r"without wishes.*Sorry"),
    ):
        write_log(Order(out=tmp_path / "other.jsonl", num=9), indexed_workspace, endpoint(server))
    assert not (tmp_path / "other.jsonl").exists()


def test_a_file_of_another_kind_is_refused_before_a_call(
    indexed_workspace: Workspace, server: ChatServer, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"log\.csv.*\.jsonl"):
        write_log(Order(out=tmp_path / "log.csv", num=1), indexed_workspace, endpoint(server))
    (tmp_path / "log.jsonl").write_text('{"text": "a", "set_ids": ["no such set"]}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"log\.jsonl:1.*no such set"):
        write_log(Order(out=tmp_path / "log.jsonl", num=2), indexed_workspace, endpoint(server))
    assert not server.seen


def test_titles_bring_entries_to_the_shortlist_that_the_wish_does_not(
    indexed_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("r4t_ray.annotation.entries.NUM_CANDIDATES", 4)
    entries = open_entries(indexed_workspace)
    first, other = (load_sets(indexed_workspace)[place].title for place in (0, 40))
    alone, both = (
        [entries.texts[row] for row in entries.shortlist(Wish(text=first, titles=given))] for given in ((), (other,))
    )
    assert len(alone) == len(both) == 4
    assert alone[0] == both[0]
    assert alone[0].startswith(first)
    assert not any(text.startswith(other) for text in alone)
    assert both[2].startswith(other)  # after the half that is nearest to the wish


def test_a_prompt_shows_titles_with_items_in_one_line() -> None:
    assert entry_text("two\nlines", []) == "two lines"
    long = entry_text("title", ["x" * 500])
    assert len(long) == MAX_CHARS
    assert long.endswith("…")
    prompt = wishes_prompt("outfits", ["a {b}", "c"], ["d"], 5)
    assert "A catalogue of outfits has entries" in prompt
    assert "- a {b}\n- c\n" in prompt
    assert "Write 5 requests" in prompt
    assert prompt.count("- d\n") == 1
    assert "written before" not in wishes_prompt("", ["a"], [], 5)
    assert "for: w\n\nEntries:\n1. a\n2. b\n" in fits_prompt("", "w", ["a", "b"])


@pytest.mark.parametrize(
    "reply",
    ["", "[]", "{}", '{"requests": 3}', '{"requests": ["a"]}', '{"requests": [{"titles": ["a"]}]}', '{"requests": [{'],
)
def test_a_reply_of_another_form_has_no_wishes(reply: str) -> None:
    assert read_wishes(reply) == []


@pytest.mark.parametrize(
    "reply", ["", "[1]", "{}", '{"fits": "1"}', '{"fits": [0]}', '{"fits": [true]}', '{"fits": [1.0]}']
)
def test_a_reply_of_another_form_marks_nothing(reply: str) -> None:
    assert read_fits(reply, 3) is None


def test_a_wish_of_half_a_character_or_of_a_page_is_no_query() -> None:
    wishes = [{"request": "caf\ud83d"}, {"request": "word " * 41}, {"request": "tea"}]
    assert [wish.text for wish in read_wishes(json.dumps({"requests": wishes}))] == ["caf", "tea"]
