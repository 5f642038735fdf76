"""Snapshots of live changes: going back and forward, and files that are refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import given_entries
from r4t_ray.embedding_table import embedding_table
from r4t_ray.errors import ArtifactError, MachineError, RequestError
from r4t_ray.files import sha256_file
from r4t_ray.live import LiveState, LiveWriter, Replay, writer
from r4t_ray.live.log import log_path

from .conftest import hashed
from .test_writer import upsert


def held(state: LiveState) -> dict[str, Any]:
    """Everything that a state has."""
    return {
        pool: {name: entry and (entry.text, entry.filters, entry.emb_D.tolist()) for name, entry in entries.items()}
        for pool, entries in state.pools.items()
    }


@pytest.fixture
def changed(workspace: Workspace) -> LiveWriter:
    """A writer after changes of both pools, and deletions in both."""
    opened = LiveWriter(workspace)
    upsert(
        opened, "items", {"item_id": "i-mint", "text": "mint", "attributes": {"a": [1]}}, {"item_id": "x", "text": "x"}
    )
    upsert(opened, "sets", {"set_id": "s-tea", "title": "tea", "item_ids": ["i-mint", "i-salt"]})
    opened.delete("items", ["i-salt", "x"])
    opened.delete("sets", ["s-lentil-soup"])
    return opened


def test_a_generation_has_what_the_log_had(workspace: Workspace, changed: LiveWriter) -> None:
    follower = Replay(workspace)
    follower.update()
    before = held(follower.state)
    size = log_path(workspace).stat().st_size
    saved = changed.snapshot()
    assert (saved.generation, saved.sequence, saved.saved, saved.generations) == (1, 4, 1, (0, 1))
    assert log_path(workspace).stat().st_size < size
    del before["items"]["x"]  # it was there by a live change alone, so nobody has to know that it is gone
    assert follower.update()
    assert (held(follower.state), follower.state.generation, follower.state.sequence) == (before, 1, 4)
    assert changed.snapshot() == replace(saved, saved=None)
    assert upsert(changed, "items", {"item_id": "i-dill", "text": "dill"}).sequence == 5
    changed.close()
    again = Replay(workspace)
    again.update()
    follower.update()
    assert held(again.state) == held(follower.state) != before
    assert set(again.state.pools["items"]) == {"i-mint", "i-salt", "i-dill"}


def test_one_goes_back_and_forward_and_loses_nothing(workspace: Workspace, changed: LiveWriter) -> None:
    follower = Replay(workspace)
    changed.snapshot()
    follower.update()
    first = held(follower.state)
    upsert(changed, "items", {"item_id": "i-dill", "text": "dill"})
    follower.update()
    second = held(follower.state)
    back = changed.activate(1)
    assert (back.generation, back.sequence, back.saved, back.generations) == (1, 5, 2, (0, 1, 2))
    follower.update()
    assert (held(follower.state), follower.state.generation) == (first, 1)
    none = changed.activate(0)
    assert (none.generation, none.saved, none.generations) == (0, None, (0, 1, 2))
    follower.update()
    assert held(follower.state) == {"items": {}, "sets": {}}
    assert changed.activate(2).sequence == 5
    follower.update()
    assert (held(follower.state), follower.state.generation) == (second, 2)
    assert changed.delete("items", ["i-dill"]).sequence == 6
    changed.close()


def test_unfinished_generations_and_copies_are_not_generations(workspace: Workspace, changed: LiveWriter) -> None:
    live = log_path(workspace).parent
    for name in ("generation-000001.partial", "generation-000007.bak", "generation-x"):
        (live / name).mkdir()
        (live / name / "manifest.json").write_text("{}")
    assert changed.snapshot().generations == (0, 1)
    Replay(workspace).update()
    changed.close()


def num_open_under(folder: Path) -> int:
    """Number of this process's open files under `folder`, the deleted ones too; other threads open files elsewhere."""
    targets = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own descriptor, and those that other threads close
            targets.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sum(target.startswith(f"{folder.resolve()}/") for target in targets)


def test_snapshots_keep_no_file_open(workspace: Workspace, changed: LiveWriter) -> None:
    live = log_path(workspace).parent
    before = num_open_under(live)
    assert before
    for number in range(3):
        upsert(changed, "items", {"item_id": f"i-{number}", "text": "dill"})
        changed.snapshot()
    assert num_open_under(live) == before
    changed.close()
    assert not num_open_under(live)


def test_a_generation_that_cannot_be_read_yet_is_read_later(workspace: Workspace, changed: LiveWriter) -> None:
    follower = Replay(workspace)
    follower.update()
    changed.snapshot()
    upsert(changed, "items", {"item_id": "i-dill", "text": "dill"})
    folder = log_path(workspace).parent / "generation-000001"
    folder.rename(folder.with_name("away"))
    for _ in range(2):
        with pytest.raises(ArtifactError, match="no such generation"):
            follower.update()
    folder.with_name("away").rename(folder)
    assert follower.update()
    assert (follower.state.generation, follower.state.sequence) == (1, 5)
    assert {"i-mint", "i-dill"} <= set(follower.state.pools["items"])
    changed.close()


def test_a_change_is_not_written_into_a_log_that_was_moved_away(workspace: Workspace, changed: LiveWriter) -> None:
    live = log_path(workspace).parent
    size = log_path(workspace).stat().st_size
    live.rename(live.with_name("moved"))
    with pytest.raises(MachineError, match="No such file"):
        upsert(changed, "items", {"item_id": "i-dill", "text": "dill"})
    assert (live.with_name("moved") / log_path(workspace).name).stat().st_size == size
    again = LiveWriter(workspace)
    log_path(workspace).rename(log_path(workspace).with_name("old"))
    log_path(workspace).write_bytes(log_path(workspace).with_name("old").read_bytes())
    with pytest.raises(MachineError, match="another file than the one that was opened"):
        upsert(again, "items", {"item_id": "i-dill", "text": "dill"})


def bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def narrow(path: Path) -> None:
    """Embeddings of another width, in a folder whose manifest agrees with its files."""
    ids = pq.read_table(path, columns=["id"])["id"].to_pylist()
    table = embedding_table(ids, hashed(ids)[:, :-1])
    for name in ("text", "filters"):
        table = table.append_column(name, pq.read_table(path)[name])
    pq.write_table(table, path)
    manifest = path.parent / "manifest.json"
    data = json.loads(manifest.read_text(encoding="utf-8"))
    data["files"][path.name] = sha256_file(path)
    manifest.write_text(json.dumps(data), encoding="utf-8")


def moved(path: Path) -> None:
    path.unlink()


def no_manifest(path: Path) -> None:
    (path.parent / "manifest.json").write_text("[]", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (bit, "another file"),
        (cut, "another file"),
        (moved, "another file"),
        (narrow, "embeddings of width 15"),
        (no_manifest, "an unreadable manifest"),
    ],
)
def test_spoilt_files_are_refused_and_the_state_stays(
    workspace: Workspace, changed: LiveWriter, spoil: Callable[[Path], None], message: str
) -> None:
    changed.snapshot()
    upsert(changed, "items", {"item_id": "i-dill", "text": "dill"})
    follower = Replay(workspace)
    follower.update()
    before, log = held(follower.state), log_path(workspace).read_bytes()
    spoil(log_path(workspace).parent / "generation-000001" / "items.parquet")
    with pytest.raises(RequestError, match=rf"generation: got 1: {message}"):
        changed.activate(1)
    assert log_path(workspace).read_bytes() == log
    assert not follower.update()
    changed.delete("items", ["i-dill"])
    follower.update()
    assert held(follower.state) != before
    changed.close()
    with pytest.raises(ArtifactError, match=message):
        LiveWriter(workspace)


def test_an_unknown_generation_and_a_full_disk(
    workspace: Workspace, changed: LiveWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RequestError, match=r"generation: got 3: no such generation; expected one of 0;"):
        changed.activate(3)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "write_generation", full)
    with pytest.raises(MachineError, match="No space left on device"):
        changed.snapshot()
    monkeypatch.undo()
    changed.close()
    follower = Replay(workspace)
    follower.update()
    assert (follower.state.generation, follower.state.sequence) == (0, 4)


def test_a_record_that_a_generation_holds_can_be_named_by_sets(workspace: Workspace, changed: LiveWriter) -> None:
    changed.snapshot()
    new, _ = given_entries("sets", [{"set_id": "s-b", "title": "b", "item_ids": ["i-mint"]}], None)
    assert changed.upsert("sets", new, hashed(["b"])).sequence == 5
    changed.activate(0)
    with pytest.raises(RequestError, match="i-mint"):
        changed.upsert("sets", new, hashed(["b"]))
    changed.close()
