"""The log of live changes: what a line holds, how a log is read on, cut off, refused and replaced."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from r4t_ray.artifacts import Workspace, read_manifest
from r4t_ray.errors import ArtifactError, MachineError
from r4t_ray.live import Change, Replay
from r4t_ray.live.changes import line_of
from r4t_ray.live.log import ChangeLog, LogReader, Start, begin_log, log_path

from ..conftest import DIM
from .conftest import hashed


def upsert(sequence: int, *ids: str) -> Change:
    return Change(sequence=sequence, pool="items", ids=ids, texts=ids, filters=("{}",) * len(ids), emb_MD=hashed(ids))


def delete(sequence: int, *ids: str) -> Change:
    return Change(sequence=sequence, pool="items", ids=ids)


def entries(replay: Replay) -> dict[str, str | None]:
    return {name: entry and entry.text for name, entry in replay.state.pools["items"].items()}


def by_hand(fields: dict[str, Any]) -> str:
    """A line as docs/serving.md describes it."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return json.dumps({**fields, "sha256": hashlib.sha256(text.encode()).hexdigest()}) + "\n"


def test_a_log_made_by_hand_is_replayed_without_an_encoder(workspace: Workspace) -> None:
    parents = {name: read_manifest(workspace.root / name).fingerprint for name in ("catalogue", "encoder", "index")}
    emb_D = hashed(["leek"])[0]
    lines = [
        {"generation": 0, "sequence": 0, "log": "1", "parents": parents},
        {
            "change": "upsert",
            "sequence": 1,
            "pool": "items",
            "ids": ["i-leek"],
            "texts": ["Crème de \u2028 leek"],
            "filters": ['{"price": 2.5}'],
            "emb": base64.b64encode(emb_D.tobytes()).decode(),
        },
        {"change": "delete", "sequence": 2, "pool": "sets", "ids": ["s-lentil-soup"]},
    ]
    log_path(workspace).parent.mkdir()
    log_path(workspace).write_text("".join(map(by_hand, lines)), encoding="utf-8")
    replay = Replay(workspace)
    assert replay.update()
    assert not replay.update()
    (leek,) = replay.state.entries("items")
    assert (leek.id, leek.text, leek.filters) == ("i-leek", "Crème de \u2028 leek", '{"price": 2.5}')
    assert np.array_equal(leek.emb_D, emb_D)
    assert replay.state.pools["sets"] == {"s-lentil-soup": None}
    assert replay.state.sequence == 2


def test_the_newest_change_of_an_id_counts_and_a_log_is_read_on(workspace: Workspace) -> None:
    replay = Replay(workspace)
    assert not replay.update()
    log = ChangeLog(workspace, LogReader(workspace))
    log.append(upsert(1, "a", "b"))
    assert replay.update()
    assert entries(replay) == {"a": "a", "b": "b"}
    log.append(delete(2, "a"))
    log.append(upsert(3, "c", "b"))
    replay.update()
    assert entries(replay) == {"a": None, "c": "c", "b": "b"}
    log.close()
    again = Replay(workspace)
    again.update()
    assert (entries(again), again.state.sequence) == (entries(replay), 3)


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_line_without_its_end_is_passed_over_and_cut_off(workspace: Workspace, kept: int) -> None:
    log = ChangeLog(workspace, LogReader(workspace))
    log.append(upsert(1, "a"))
    log.close()
    whole = log_path(workspace).read_bytes()
    log_path(workspace).write_bytes(whole + line_of(upsert(2, "b"))[:kept])
    replay = Replay(workspace)
    replay.update()
    assert entries(replay) == {"a": "a"}
    log = ChangeLog(workspace, LogReader(workspace))
    assert log_path(workspace).read_bytes() == whole
    log.append(upsert(2, "c"))
    log.close()
    replay.update()
    assert entries(replay) == {"a": "a", "c": "c"}


def test_a_changed_line_is_refused_and_the_state_stays(workspace: Workspace) -> None:
    log = ChangeLog(workspace, LogReader(workspace))
    log.append(upsert(1, "a"))
    replay = Replay(workspace)
    replay.update()
    log.append(upsert(2, "b"))
    log.append(upsert(3, "c"))
    log.close()
    whole = log_path(workspace).read_bytes()
    lines = whole.splitlines(keepends=True)
    narrow = line_of(replace(upsert(4, "d"), emb_MD=hashed(["d"])[:, 1:]))
    for fault, message in (
        (whole.replace(b'"texts": ["b"]', b'"texts": ["B"]'), r"line 3: got another checksum"),
        (b"".join(lines[:2] + lines[3:]), r"line 3: got change 3; expected change 2"),
        (b"".join([*lines[:2], b"\n", *lines[2:]]), r"line 3: got no line of a log"),
        (whole + narrow, r"line 5: got no change \(cannot reshape"),
        (b"\n".join([b"{}", *lines[1:]]), r"line 1: got no line of a log"),
    ):  # fmt: skip
        log_path(workspace).write_bytes(fault)
        for reader in (replay, Replay(workspace)):
            with pytest.raises(ArtifactError, match=message):
                reader.update()
        assert entries(replay) == {"a": "a"}
    log_path(workspace).write_bytes(whole)
    replay.update()
    assert entries(replay) == {"a": "a", "b": "b", "c": "c"}


@pytest.mark.parametrize("stage", ["catalogue", "encoder", "index"])
def test_changes_made_for_other_artifacts_are_refused(workspace: Workspace, stage: str) -> None:
    ChangeLog(workspace, LogReader(workspace)).close()
    manifest = workspace.root / stage / "manifest.json"
    data = json.loads(manifest.read_text(encoding="utf-8"))
    data["files"] = dict.fromkeys(data["files"], "0" * 64)
    manifest.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(
        ArtifactError, match=f"made for another '{stage}'.*; move .*live away and send the changes again"
    ):
        Replay(workspace).update()


def test_another_log_in_its_place_is_read_from_its_start(workspace: Workspace) -> None:
    log = ChangeLog(workspace, LogReader(workspace))
    log.append(upsert(1, "a"))
    replay = Replay(workspace)
    replay.update()
    begin_log(log_path(workspace), LogReader(workspace).first_line(Start(sequence=1)))
    assert replay.update()
    assert (entries(replay), replay.state.sequence) == ({}, 1)
    log_path(workspace).unlink()
    assert replay.update()
    assert (entries(replay), replay.state.sequence) == ({}, 0)
    assert not replay.update()
    log.close()


def test_one_process_appends(workspace: Workspace) -> None:
    code = (
        "import sys; from r4t_ray.artifacts import Workspace; from r4t_ray.live.log import ChangeLog, LogReader\n"
        "w = Workspace(sys.argv[1]); log = ChangeLog(w, LogReader(w)); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(workspace.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ArtifactError, match="one process at a time"):
            ChangeLog(workspace, LogReader(workspace))
        other.kill()
    ChangeLog(workspace, LogReader(workspace)).close()


def test_a_full_disk_loses_no_acknowledged_change(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ChangeLog(workspace, LogReader(workspace))
    log.append(upsert(1, "a"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match="No space left on device"):
        log.append(upsert(2, "b"))
    monkeypatch.undo()
    log = ChangeLog(workspace, LogReader(workspace))
    replay = Replay(workspace)
    replay.update()
    log.append(upsert(replay.state.sequence + 1, "c"))
    log.close()
    replay.update()
    assert {"a", "c"} <= set(entries(replay))


def test_a_folder_that_cannot_be_written_is_named(workspace: Workspace, tmp_path: Path) -> None:
    log_path(workspace).parent.mkdir()
    log_path(workspace).mkdir()
    with pytest.raises(MachineError, match=r"changes.jsonl: got Is a directory"):
        ChangeLog(workspace, LogReader(workspace))


def test_the_width_is_that_of_the_encoder(workspace: Workspace) -> None:
    assert LogReader(workspace).dim == DIM
