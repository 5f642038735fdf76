"""`r4t add`: the files that it writes, the files that it leaves alone, and the inputs that it refuses."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from r4t_ray import catalogue, cli, index, new_entries
from r4t_ray.artifacts import Workspace
from r4t_ray.config import Settings
from r4t_ray.embedding_table import embedding_table
from r4t_ray.errors import ArtifactError, ConfigError, DataError
from r4t_ray.new_entries import add, find_new_entries, load_new_entries, new_column_of_filters
from r4t_ray.types import Array

from .conftest import DIM, SEED, write_catalogue

BASIL, MINT = (
    {"item_id": f"i-{name}", "text": name, "attributes": {"leaves": leaves}}
    for name, leaves in (("purple basil", 8), ("mint", 12))
)
PESTO = {"set_id": "s-pesto", "title": "pesto", "description": "green sauces", "item_ids": ["i-purple basil", "i-salt"]}


def encode(texts: Sequence[str], kinds: str = "query") -> Array:
    rows = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=DIM) for text in texts]
    return np.array([row / np.linalg.norm(row) for row in rows], np.float32)


class HashEncoder:
    encode = staticmethod(encode)


def settings(tmp_path: Path) -> Any:
    return TypeAdapter(catalogue.CatalogueConfig).validate_python(write_catalogue(tmp_path / "catalogue"))


def write_embed(workspace: Workspace, seed: int = SEED) -> None:
    def make(folder: Path) -> int:
        for kind, key in (("items", "item_id"), ("sets", "set_id"), ("queries", "query_id")):
            ids = pq.read_table(workspace.root / "catalogue" / f"{kind}.parquet")[key].to_pylist()
            pq.write_table(embedding_table(ids, encode([f"{seed} {name}" for name in ids])), folder / f"{kind}.parquet")
        return 1

    workspace.build("encoder", Settings(), seed, ["catalogue"], make)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The shared catalogue of 18 items and 48 sets with an index and an encoder that hashes."""
    monkeypatch.setattr(new_entries, "load_encoder", lambda folder: HashEncoder())
    workspace = Workspace(tmp_path / "workspace")
    catalogue.run(settings(tmp_path), workspace, SEED)
    write_embed(workspace)
    index.run(index.IndexConfig(type="flat"), workspace, SEED)
    return workspace


def rows_of(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def hashes(root: Path) -> dict[Path, tuple[str, int]]:
    """Content and time of every file. Both stay the same if the file is not written."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


def test_new_entries_whose_replacement_was_cut_off_are_still_found(workspace: Workspace, tmp_path: Path) -> None:
    items = rows_of(tmp_path / "i.jsonl", BASIL)
    add(workspace, items=items)
    (workspace.root / "new_entries").rename(workspace.root / "new_entries.replaced")
    with pytest.raises(ArtifactError, match="r4t add"):
        find_new_entries(workspace)
    add(workspace, items=items)
    assert find_new_entries(workspace) is not None


def test_new_entries_are_embedded_and_read_like_entries_of_the_catalogue(workspace: Workspace, tmp_path: Path) -> None:
    assert (find_new_entries(workspace), load_new_entries(workspace, "oar")) == (None, None)
    made = add(workspace, items=rows_of(tmp_path / "i.jsonl", BASIL, MINT), sets=rows_of(tmp_path / "s.jsonl", PESTO))
    items, sets = load_new_entries(workspace, "wscr"), load_new_entries(workspace, "oar")
    assert items is not None
    assert sets is not None
    assert (items.ids, items.texts) == (["i-purple basil", "i-mint"], ["purple basil", "mint"])
    assert np.array_equal(items.emb_MD, encode(["purple basil", "mint"]))
    assert (sets.ids, sets.texts) == (["s-pesto"], ["pesto"])
    assert np.array_equal(sets.emb_MD, encode(["pesto. green sauces"]))
    attributes, members = (new_column_of_filters(workspace, task) for task in ("wscr", "oar"))
    assert attributes is not None
    assert members is not None
    assert attributes.to_pydict() == {"id": items.ids, "attributes": ['{"leaves": 8}', '{"leaves": 12}']}
    assert members.to_pydict() == {"id": sets.ids, "item_ids": [PESTO["item_ids"]]}
    assert (made.manifest.rows, set(made.manifest.parents)) == (3, {"catalogue", "encoder"})


def test_new_entries_of_an_earlier_version_ask_for_another_add(workspace: Workspace, tmp_path: Path) -> None:
    def make(folder: Path) -> int:
        pq.write_table(embedding_table(["i-mint"], encode(["mint"])), folder / "items.parquet")
        return 1

    assert new_column_of_filters(workspace, "wscr") is None
    workspace.build("new_entries", Settings(), SEED, ["catalogue", "encoder"], make)
    assert new_column_of_filters(workspace, "oar") is None
    with pytest.raises(ArtifactError, match=r"items.parquet: got no column attributes; .*run `r4t add` again"):
        new_column_of_filters(workspace, "wscr")
    add(workspace, items=rows_of(tmp_path / "i.jsonl", MINT))
    assert new_column_of_filters(workspace, "wscr") is not None


def test_every_stage_is_as_current_as_before(workspace: Workspace, tmp_path: Path) -> None:
    before = hashes(workspace.root)
    add(workspace, items=rows_of(tmp_path / "i.jsonl", BASIL))
    catalogue.run(settings(tmp_path), workspace, SEED)
    write_embed(workspace)
    index.run(index.IndexConfig(type="flat"), workspace, SEED)
    after = hashes(workspace.root)
    assert {path: after[path] for path in before} == before
    assert {path.parent.name for path in set(after) - set(before)} == {"new_entries"}


def test_adding_again_replaces_all_and_the_same_files_change_nothing(workspace: Workspace, tmp_path: Path) -> None:
    items, sets = rows_of(tmp_path / "i.jsonl", BASIL), rows_of(tmp_path / "s.jsonl", PESTO)
    add(workspace, items=items, sets=sets)
    first = hashes(workspace.root)
    add(workspace, items=items, sets=sets)
    assert hashes(workspace.root) == first
    add(workspace, items=rows_of(items, MINT, BASIL), sets=sets)
    found = load_new_entries(workspace, "wscr")
    assert found is not None
    assert found.ids == ["i-mint", "i-purple basil"]
    add(workspace, items=items)
    assert load_new_entries(workspace, "wscr") is not None
    assert load_new_entries(workspace, "oar") is None


def test_new_entries_may_be_a_folder_of_parts_or_a_glob(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "items"
    folder.mkdir()
    rows_of(folder / "0.jsonl", BASIL)
    rows_of(folder / "1.jsonl", MINT)
    (folder / "_SUCCESS").touch()
    for items in (folder, folder / "[01].jsonl"):
        add(workspace, items=items)
        found = load_new_entries(workspace, "wscr")
        assert found is not None
        assert found.ids == ["i-purple basil", "i-mint"]
    rows_of(folder / "1.jsonl", MINT | {"text": "mint", "item_id": "i-new mint"})
    add(workspace, items=folder)
    found = load_new_entries(workspace, "wscr")
    assert found is not None
    assert found.ids == ["i-purple basil", "i-new mint"]


FAULTS: dict[str, tuple[list[dict[str, Any]] | None, list[dict[str, Any]] | None, str]] = {
    "known item": ([{"item_id": "i-salt", "text": "x"}], None, r"i\.jsonl:1: got item_id 'i-salt' again"),
    "known set": (None, [PESTO | {"set_id": "s-rice-pie"}], r"s\.jsonl:1: got set_id 's-rice-pie' again"),
    "unknown item": (None, [PESTO], r"s\.jsonl:1: got set 's-pesto' with item 'i-purple basil'"),
    "no items": ([], [PESTO], r"i\.jsonl: got no items; expected at least one"),
    "no sets": ([BASIL], [], r"s\.jsonl: got no sets; expected at least one"),
    "no file": (None, None, r"--items, --sets: got neither; expected a file"),
}


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_refused_file_leaves_the_workspace_unchanged(
    workspace: Workspace, tmp_path: Path, fault: str, earlier: bool
) -> None:
    if earlier:
        add(workspace, items=rows_of(tmp_path / "earlier.jsonl", MINT))
    before = hashes(workspace.root)
    items, sets, message = FAULTS[fault]
    files = {
        "items": None if items is None else rows_of(tmp_path / "i.jsonl", *items),
        "sets": None if sets is None else rows_of(tmp_path / "s.jsonl", *sets),
    }
    with pytest.raises((DataError, ConfigError), match=message):
        add(workspace, **files)
    assert hashes(workspace.root) == before


def test_nothing_half_written_is_served(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(HashEncoder):
        @staticmethod
        def encode(texts: Sequence[str], kinds: str) -> Array:
            if "mint" in texts:
                raise MemoryError
            return encode(texts)

    items, sets = rows_of(tmp_path / "i.jsonl", MINT, BASIL), rows_of(tmp_path / "s.jsonl", PESTO)
    monkeypatch.setattr(new_entries, "load_encoder", lambda folder: Failing())
    for kept in (None, ["s-pesto"]):
        with pytest.raises(MemoryError):
            add(workspace, items=items, sets=sets)
        found = load_new_entries(workspace, "oar")
        assert (found and found.ids) == kept
        assert load_new_entries(workspace, "wscr") is None
        add(workspace, sets=rows_of(tmp_path / "old.jsonl", PESTO | {"item_ids": ["i-salt"]}))
    monkeypatch.setattr(new_entries, "load_encoder", lambda folder: HashEncoder())
    assert add(workspace, items=items, sets=sets).manifest.rows == 3
    assert not (workspace.root / "new_entries.partial").exists()


def test_another_encoder_or_a_changed_file_is_refused_with_the_command(workspace: Workspace, tmp_path: Path) -> None:
    items = rows_of(tmp_path / "i.jsonl", BASIL)
    add(workspace, items=items)
    write_embed(workspace, seed=SEED + 1)
    with pytest.raises(ArtifactError, match=r"another 'encoder'.*run `r4t add --workspace DIR` again"):
        load_new_entries(workspace, "wscr")
    path = add(workspace, items=items).path / "items.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"items\.parquet: got sha256 .*run `r4t add --workspace DIR` again"):
        load_new_entries(workspace, "wscr")
    with pytest.raises(ArtifactError, match="sha256"):
        load_new_entries(workspace, "oar")


def test_the_command_says_what_was_added(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = rows_of(tmp_path / "i.jsonl", BASIL, MINT)
    monkeypatch.setattr("sys.argv", ["r4t", "add", "--workspace", str(workspace.root), "--items", str(items)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    assert f"{workspace.root / 'new_entries'}: 2 rows" in capsys.readouterr().out
