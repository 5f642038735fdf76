"""The staples of small and large catalogues, and what ingest says about missing queries."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path

import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import ItemSet, SetsConfig, load_queries, run
from r4t_ray.catalogue.queries.splits import split_of
from r4t_ray.catalogue.queries.staples import find_staples

SHARE, MIN_REFERENCE = 0.03, 3


def made(num_sets: int, num_items: int, size: int, extra: tuple[str, ...] = ()) -> list[ItemSet]:
    """Training sets of ``size`` random items each, and the items of ``extra``."""
    rng = random.Random(0)
    ids = [f"i{n}" for n in range(num_items)]
    return [
        ItemSet(set_id=str(n), title=str(n), description="", item_ids=(*extra, *rng.sample(ids, size)),
                published_split="train")
        for n in range(num_sets)
    ]  # fmt: skip


@pytest.mark.parametrize("num_sets", [1, 2, 10, 60])
def test_the_share_empties_no_small_catalogue(num_sets: int) -> None:
    sets = made(num_sets, 40, 6)
    found, note = find_staples(sets, SHARE, MIN_REFERENCE)
    assert all(len(set(row.item_ids) - found) >= MIN_REFERENCE for row in sets)
    assert note
    for words in ("catalogue.staple_share = 0.03", f"of the {num_sets} training sets"):
        assert words in note


def test_items_that_are_in_every_set_are_no_staples_if_there_is_nothing_else() -> None:
    assert find_staples(made(20, 5, 5), SHARE, MIN_REFERENCE).item_ids == frozenset()


def test_a_staple_of_a_small_catalogue_is_still_found() -> None:
    assert find_staples(made(60, 40, 6, ("salt",)), SHARE, MIN_REFERENCE).item_ids == {"salt"}


def test_in_a_large_catalogue_the_share_decides_without_a_word() -> None:
    # The average item is in 8 sets, far below 3% of 3000.
    assert find_staples(made(3000, 3000, 8, ("salt",)), SHARE, MIN_REFERENCE) == ({"salt"}, None)
    assert find_staples(made(60, 40, 6), 1.0, MIN_REFERENCE) == (frozenset(), None)


def test_staples_that_would_take_most_references_stay() -> None:
    found, note = find_staples(made(100, 200, 1, ("a", "b")), SHARE, MIN_REFERENCE)
    assert found == frozenset()
    assert note
    assert "without the 2 items" in note
    assert "only 0 of 100 sets would have catalogue.min_reference = 3 items" in note
    assert find_staples(made(100, 200, 3, ("a", "b")), SHARE, MIN_REFERENCE).item_ids == {"a", "b"}


def test_sets_that_are_too_small_are_named() -> None:
    _, note = find_staples(made(30, 40, 2), SHARE, MIN_REFERENCE)
    assert note
    assert "no set has catalogue.min_reference = 3 items (the largest has 2)" in note


def ingested(folder: Path, titles: list[str]) -> Workspace:
    rng = random.Random(0)
    items = [{"item_id": f"i{n}", "text": f"thing {n}"} for n in range(40)]
    ids = [item["item_id"] for item in items]
    sets = [{"set_id": f"s{n}", "title": title, "item_ids": rng.sample(ids, 6)} for n, title in enumerate(titles)]
    for name, rows in (("items", items), ("sets", sets)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    workspace = Workspace(folder / "workspace")
    run(SetsConfig(items=folder / "items.jsonl", sets=folder / "sets.jsonl"), workspace, seed=0)
    return workspace


def test_a_toy_catalogue_has_queries_of_both_tasks_with_all_defaults(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = ingested(tmp_path, [f"set number {n}" for n in range(60)])
    queries = load_queries(workspace, "wscr")
    assert len(queries) == 60
    assert {query.split for query in queries} == {"train", "val", "test"}
    assert all(len(query.item_ids) == 6 for query in queries)
    said = "\n".join(record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert "catalogue.staple_share = 0.03 of the 48 training sets" in said
    assert "no oar test query, so evaluate has nothing to measure" in said
    assert "wscr test query" not in said


@pytest.mark.parametrize(
    "titles", [["one"], ["same"] * 10, ["one", "two"]], ids=["one set", "equal titles", "two sets"]
)
def test_every_empty_split_is_said_at_ingest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, titles: list[str]
) -> None:
    workspace = ingested(tmp_path, titles)
    said = "\n".join(record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert len(load_queries(workspace, "wscr")) == len(titles)
    for task in ("oar", "wscr"):
        for split in {"train", "val", "test"} - {split_of(title) for title in titles}:
            assert f"no {task} {split} query, so " in said
