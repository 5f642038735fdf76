"""Drivers and actors of `r4t retrieve` are killed outright. Every query is answered once, and no file changes."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path

import pyarrow.dataset as pads
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.retrieval.retriever import Retriever

from ..processes import kill_driver, last_of, named, running, wait_for
from .test_retrieve import assert_equal

NUM = 1_500
ACTOR = "ray::MapWorker(Map(AnswerFile))"
KILLS = ("driver", "actor", "driver", "actor", "driver")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def files_of(out: Path) -> dict[str, str]:
    """sha256 of every complete file."""
    folder = out if out.exists() else out.with_name(f"{out.name}.partial")
    found = sorted(folder.glob("answers/*.parquet"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_kills_lose_and_repeat_no_query(repository: Path, tiny_workspace: Workspace, tmp_path: Path) -> None:
    log, out, said = tmp_path / "log.jsonl", tmp_path / "answers", tmp_path / "said.txt"
    texts = [f"a warm soup number {number}" for number in range(NUM)]
    log.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    arguments = ["-w", str(tiny_workspace.root), "--queries", str(log), "--out", str(out), "-k", "4", "-n", "3"]
    started = ("retrieve", [*arguments, "--queries-per-file", "1", "--cpus", "0.5"], repository, said)
    seen: dict[str, str] = {}
    for victim in KILLS:
        before = len(seen)
        with running(*started, program=("-m", "r4t_ray.cli")) as driver:
            wait_for(lambda num=before: len(files_of(out)) > num, driver, said)
            if victim == "actor":
                (actor,) = named(driver, ACTOR)
                actor.send_signal(signal.SIGKILL)
                known = len(files_of(out)) + 1
                wait_for(lambda known=known: len(files_of(out)) > known, driver, said)
            kill_driver(driver)
        found = files_of(out)
        assert found.items() >= seen.items()
        seen = found
    assert len(seen) < NUM  # every kill came before the end of the run
    with running(*started, program=("-m", "r4t_ray.cli")) as driver:
        assert driver.wait(timeout=600) == 0, last_of(said)
    assert files_of(out).items() >= seen.items()
    rows = pads.dataset(out / "answers", format="parquet").to_table().sort_by("row").to_pylist()
    assert [row["row"] for row in rows] == list(range(NUM))
    assert [row["text"] for row in rows] == texts
    retriever = Retriever(tiny_workspace.root)
    for row in rows[:: NUM // 20]:
        assert_equal(row, retriever.retrieve(row["text"], k=4, n=3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers", "log.jsonl", "said.txt"]
