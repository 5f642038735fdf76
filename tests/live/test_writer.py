"""What the writer of live changes accepts, and what it refuses with the place of the fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import given_entries
from r4t_ray.errors import DataError, RequestError
from r4t_ray.live import LiveWriter, Replay
from r4t_ray.new_entries import entries_of_pool

from .conftest import hashed

MINT = {"item_id": " i-mint ", "text": " mint ", "attributes": {"leaves": 12}}
PESTO = {"set_id": "s-pesto", "title": "pesto", "description": "green", "item_ids": ["i-salt", "i-basil"]}


def upsert(writer: LiveWriter, pool: Any, *records: dict[str, Any]) -> Any:
    new, _ = given_entries(pool, records, "embedding")
    return writer.upsert(pool, new, hashed(entries_of_pool(new, "wscr" if pool == "items" else "oar")[1]))


def test_changes_are_kept_as_the_files_of_a_catalogue_are_read(workspace: Workspace) -> None:
    writer = LiveWriter(workspace)
    first = upsert(writer, "items", MINT, {"item_id": 7, "text": "7 herbs"})
    assert (first.sequence, first.num, first.unknown, first.generation) == (1, 2, (), 0)
    assert upsert(writer, "sets", PESTO, {**PESTO, "set_id": "s-tea", "item_ids": '["i-mint", "7"]'}).sequence == 2
    assert writer.delete("items", ["i-salt", "i-nothing", "i-salt", "7"]).unknown == ("i-nothing",)
    with pytest.raises(RequestError, match=r"records.1: got set 's-b' with item 'i-salt', which no item has"):
        upsert(writer, "sets", {**PESTO, "item_ids": ["i-mint"]}, {**PESTO, "set_id": "s-b"})
    again = writer.delete("items", ["i-salt", "7"])
    assert (again.sequence, again.num, again.unknown) == (3, 0, ("i-salt", "7"))
    writer.close()
    replay = Replay(workspace)
    replay.update()
    (mint,) = replay.state.entries("items")
    assert (mint.id, mint.text, mint.filters) == ("i-mint", "mint", '{"leaves": 12}')
    assert np.array_equal(mint.emb_D, hashed(["mint"])[0])
    pesto, tea = replay.state.entries("sets")
    assert (pesto.text, pesto.filters, tea.filters) == ("pesto", ("i-salt", "i-basil"), ("i-mint", "7"))
    assert np.array_equal(pesto.emb_D, hashed(["pesto. green"])[0])
    assert replay.state.removed("items") == {"i-salt", "7"}
    writer = LiveWriter(workspace)
    assert upsert(writer, "items", {"item_id": "i-salt", "text": "salt"}).sequence == 4
    assert upsert(writer, "sets", PESTO).sequence == 5
    writer.close()


@pytest.mark.parametrize(
    ("pool", "records", "message"),
    [
        ("items", [MINT, {"item_id": "x"}], r"records.1: got no field 'text'"),
        ("items", [{"item_id": "x", "text": " "}], r"records.0: got an empty text"),
        ("items", [{"item_id": True, "text": "x"}], r"records.0: got item_id = True"),
        ("items", [MINT, MINT], r"records.1: got item_id 'i-mint' again, after records.0"),
        ("items", [{"item_id": "a\nb", "text": "x"}], r"records.0: got item_id 'a\\nb' with a line break"),
        ("items", [{**MINT, "attributes": 3}], r"records.0: got attributes = 3"),
        ("items", [MINT, {"item_id": "\ud800", "text": "x"}], r"records.1: got half of a surrogate pair"),
        ("sets", [{**PESTO, "item_ids": []}], r"records.0: got item_ids = \[\]"),
        ("items", [{**MINT, "embedding": [1, 0]}, {"item_id": "x", "text": "x"}], r"records.1: got no vector"),
        ("items", [{**MINT, "embedding": [0, 0]}], r"records.0: got embedding that is 0 everywhere"),
        ("items", [{**MINT, "embedding": "[1, 0"}], r"records.0: got embedding = '\[1, 0'"),
    ],
)
def test_a_bad_record_is_refused_with_its_place(pool: str, records: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        given_entries(pool, records, "embedding")


def test_vectors_of_records_are_scaled_and_can_be_ignored() -> None:
    records = [{**MINT, "embedding": [3, 4]}, {"item_id": "x", "text": "x", "embedding": [0, 2]}]
    _, given = given_entries("items", records, "embedding")
    assert np.allclose(given["items"], [[0.6, 0.8], [0, 1]])
    assert given_entries("items", records, None)[1] == {}
    assert given_entries("items", records, "other")[1] == {}
