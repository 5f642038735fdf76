"""One rule for ids: what ingest keeps, a request and a file of ids can name. serve/page tests the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import RemovedIds, SetsConfig, load_items, load_sets, read_removed_ids, run
from r4t_ray.errors import DataError, RequestError
from r4t_ray.ids import MAX_ID_CHARS, id_fault
from r4t_ray.retrieval.generation import named_rows
from r4t_ray.retrieval.open_task import Pool
from r4t_ray.retrieval.request import parse_request

from .catalogue.forms import FORMS, write_lines

ODD_IDS = [
    "a;b",
    " padded ",
    "\u2003em\u00a0",
    "x" * MAX_ID_CHARS,
    "चाय",
    "a\u200cb",
    "-",
    '"',
    "q,r",
    "\U0001f35c" * 200,
]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_what_ingest_keeps_can_be_avoided_and_removed(tmp_path: Path, form: str) -> None:
    items = FORMS[form](tmp_path / "items", [{"item_id": key, "text": "x"} for key in ODD_IDS])
    sets = FORMS[form](tmp_path / "sets", [{"set_id": f" {key}", "title": "t", "item_ids": ODD_IDS} for key in ODD_IDS])
    workspace = Workspace(tmp_path / "workspace")
    run(SetsConfig(items=items, sets=sets), workspace, seed=0)
    kept = [item.item_id for item in load_items(workspace)]
    assert kept == [key.strip() for key in ODD_IDS]
    assert load_sets(workspace)[0].item_ids == tuple(kept)
    pool = Pool(ids=kept, texts=["x"] * len(kept))
    for names in (ODD_IDS, kept):
        assert named_rows(parse_request(query="x", avoid=names).avoid, pool) == tuple(range(len(kept)))
        gone = tmp_path / "gone.txt"
        gone.write_text("\ufeff" + "\r\n".join(names), encoding="utf-8", newline="")
        assert read_removed_ids(workspace, gone, gone) == RemovedIds(items=frozenset(kept), sets=frozenset(kept))


REFUSED = {
    "too long": ("x" * (MAX_ID_CHARS + 1), "of 201 characters"),
    "two lines": ("a\nb", "with a line break or another control character"),
    "line separator": ("a\u2028b", "with a line break or another control character"),
    "next line": ("a\x85b", "with a line break or another control character"),
    "tab": ("a\tb", "with a line break or another control character"),
    "null": ("a\0b", "with a line break or another control character"),
    "spaces": ("\u2003 ", "an empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_ids_are_refused_with_their_line(tmp_path: Path, name: str) -> None:
    key, message = REFUSED[name]
    item, row = {"item_id": "i", "text": "x"}, {"set_id": "s", "title": "t", "item_ids": ["i"]}
    config = SetsConfig(items=tmp_path / "items.jsonl", sets=tmp_path / "sets.jsonl")
    write_lines(config.items, [item, item | {"item_id": key}])
    write_lines(config.sets, [row])
    with pytest.raises(DataError, match=rf"items\.jsonl:2: got .*{message}"):
        config.read()
    write_lines(config.items, [item])
    write_lines(config.sets, [row, row | {"set_id": key}])
    with pytest.raises(DataError, match=rf"sets\.jsonl:2: got .*{message}"):
        config.read()


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_ID_CHARS + 1))
def test_every_id_of_the_rule_is_a_term_of_a_request(key: str) -> None:
    if id_fault(key) is None:
        sent = json.loads(json.dumps({"query": "x", "avoid": [key]}))
        assert parse_request(**sent).avoid == (key,)
        assert key.splitlines() == [key]
    elif len(key) > MAX_ID_CHARS and key == key.strip():
        with pytest.raises(RequestError):
            parse_request(query="x", avoid=[key])
