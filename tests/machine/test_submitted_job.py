"""A missing file in the copy of a submitted folder: the error says what the copy lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from r4t_ray import pipeline
from r4t_ray.errors import ConfigError, DataError, R4TError
from r4t_ray.machine.submitted_job import is_submitted_copy, say_what_was_left_out

COPY = Path("/tmp/ray/session_1/runtime_resources/working_dir_files/_ray_pkg_0123456789abcdef")
MISSING = ("data/items.jsonl", "no such file", "a file of items", "correct the path in `catalogue`")


@pytest.mark.parametrize(
    ("folder", "expected"), [(COPY, True), (COPY / "jobs", True), (COPY.parent, False), (Path("/a"), False)]
)
def test_a_copy_is_known_by_its_name(folder: Path, expected: bool) -> None:
    assert is_submitted_copy(folder) is expected


@pytest.mark.parametrize("kind", [DataError, ConfigError])
def test_a_missing_file_in_a_copy(kind: type[R4TError]) -> None:
    fault = say_what_was_left_out(kind(*MISSING), COPY)
    assert type(fault) is kind
    assert ".gitignore" in fault.got
    assert "an absolute path on a file system that every node mounts" in fault.fix
    assert fault.fix.startswith(MISSING[3])


def test_other_faults_and_other_folders_keep_their_words() -> None:
    other = DataError("items.jsonl line 3", "no text", "a text", "write one")
    assert say_what_was_left_out(other, COPY) is other
    missing = DataError(*MISSING)
    assert say_what_was_left_out(missing, Path("/data")) is missing


def test_the_job_says_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "working_dir_files" / "_ray_pkg_1"
    copy.mkdir(parents=True)
    (copy / "t.yaml").write_text("catalogue: {type: sets, items: data/items.jsonl, sets: data/sets.jsonl}")
    monkeypatch.chdir(copy)
    with pytest.raises(SystemExit):
        pipeline.main(["ingest", "t.yaml", "--workspace", str(tmp_path / "ws")])
    assert ".gitignore" in capsys.readouterr().err
