"""Folders and globs of parts: which files are read, in which order, and what is said if none is."""

from __future__ import annotations

from pathlib import Path

import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import SetsConfig, load_items, run
from r4t_ray.catalogue.datasets.sets import read_items
from r4t_ray.catalogue.queries.log import LOG_FIELDS
from r4t_ray.catalogue.records import read_records, sha256_of_records
from r4t_ray.errors import DataError
from r4t_ray.files import sha256_file

from ..forms import Row, write_csv, write_folder, write_lines, write_parquet

ROWS: list[Row] = [{"item_id": f"i{n}", "text": f"thing {n}"} for n in range(4)]


def ids(path: Path) -> list[str]:
    return [item.item_id for item in read_items(path)[1]]


def test_parts_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "items"
    (folder / "more").mkdir(parents=True)
    write_lines(folder / "b.jsonl", ROWS[1:2])
    write_csv(folder / "a.csv", ROWS[:1])
    write_parquet(folder / "more" / "a.parquet", ROWS[2:])
    for hidden in ("_temporary", ".cache"):
        (folder / hidden).mkdir()
        write_lines(folder / hidden / "part.jsonl", ROWS)
    for path in (folder, tmp_path / "it*", tmp_path / "items" / "**"):
        assert ids(path) == ["i0", "i1", "i2", "i3"]
    assert ids(folder / "**" / "*.parquet") == ["i2", "i3"]
    assert ids(folder / "[ab].*") == ["i0", "i1"]


def test_a_file_named_like_a_glob_is_that_file(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", ROWS)
    write_lines(tmp_path / "[a].jsonl", ROWS[:1])
    assert ids(tmp_path / "[a].jsonl") == ["i0"]


def test_parts_may_have_other_schemas(tmp_path: Path) -> None:
    folder = tmp_path / "items"
    folder.mkdir()
    write_parquet(folder / "0.parquet", [{"item_id": 0, "text": "x", "attributes": {"price": 1}}])
    write_parquet(folder / "1.parquet", [{"note": 3, "text": "y", "item_id": "one"}])
    write_parquet(folder / "2.parquet", [{"item_id": 2, "text": "z", "attributes": '{"price": "much"}'}])
    _, items = read_items(folder)
    assert [(item.item_id, item.attributes) for item in items] == [
        ("0", {"price": 1}), ("one", {}), ("2", {"price": "much"}),
    ]  # fmt: skip
    write_parquet(folder / "3.parquet", [{"item_id": 2, "name": "z"}])
    with pytest.raises(DataError, match=r"3\.parquet: got no field 'text' \(have: item_id, name\)"):
        read_items(folder)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_names_of_folders_are_fields(tmp_path: Path, suffix: str) -> None:
    for folder, text in (("split=val/task=oar", "a b"), ("split=__HIVE_DEFAULT_PARTITION__/task=wscr", "c"),
                         ("split=test/task=o%61r", "d")):  # fmt: skip
        place = tmp_path / "run=7" / "log" / folder
        place.mkdir(parents=True)
        write = {".parquet": write_parquet, ".jsonl": write_lines, ".csv": write_csv}[suffix]
        write(place / f"part{suffix}", [{"text": text}])
    found = [fields for _, fields in read_records(tmp_path / "run=7" / "log", LOG_FIELDS)]
    assert found == [
        {"text": "c", "task": "wscr", "split": None},
        {"text": "d", "task": "oar", "split": "test"},
        {"text": "a b", "task": "oar", "split": "val"},
    ]


def test_paths_without_records_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "_SUCCESS").write_text("")
    for path, message in (
        ("none.parquet", r"none\.parquet: got no such file or folder"),
        ("empty", r"empty: got no file of records.*begin with _"),
        ("*.parquet", r"\*\.parquet: got no file of records"),
        ("x" * 300, "got an unreadable path .*too long"),
    ):
        with pytest.raises(DataError, match=message):
            read_items(tmp_path / path)
        with pytest.raises(DataError, match=message):
            sha256_of_records(tmp_path / path)


def test_a_part_of_another_form_is_not_skipped(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "items.parquet", ROWS)
    (folder / "part-00002.orc").write_bytes(b"ORC")
    with pytest.raises(DataError, match=r"part-00002\.orc: got the suffix '\.orc'.*glob such as DIR/\*\.parquet"):
        read_items(folder)
    assert ids(folder / "*.parquet") == [row["item_id"] for row in ROWS]


def test_a_repeated_id_names_both_parts(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "items.parquet", [*ROWS, ROWS[0]])
    sets = write_lines(tmp_path / "sets.jsonl", [{"set_id": "s", "title": "t", "item_ids": ["i1"]}])
    with pytest.raises(
        DataError, match=r"part-00001\.parquet row 3: got item_id 'i0' again, after .*00000\.parquet row 1"
    ):
        SetsConfig(items=folder, sets=sets).read()


def test_ingest_runs_again_when_a_part_changes(tmp_path: Path) -> None:
    items = write_folder(tmp_path / "items.parquet", ROWS)
    sets = write_lines(tmp_path / "sets.jsonl", [{"set_id": "s", "title": "t", "item_ids": ["i1"]}])
    config, workspace = SetsConfig(items=items, sets=sets), Workspace(tmp_path / "workspace")
    first = run(config, workspace, seed=0).manifest
    (items / "_SUCCESS").write_text("again")
    assert run(config, workspace, seed=0).manifest == first
    before = config.sources()["items"]
    write_parquet(items / "part-00002.parquet", [{"item_id": "new", "text": "new"}])
    assert config.sources()["items"] != before
    run(config, workspace, seed=0)
    assert [item.item_id for item in load_items(workspace)] == ["i0", "i1", "i2", "i3", "new"]
    assert config.sources()["sets"] == sha256_file(sets)
    before = sha256_of_records(items)
    moved = items.rename(tmp_path / "moved.parquet")
    assert sha256_of_records(moved) == sha256_of_records(moved / "*.parquet") == before
    (moved / "part-00000.parquet").rename(moved / "part-00009.parquet")
    assert sha256_of_records(moved) != before
