"""Artifacts: skipped when current, made again when half-written, refused when changed, whole after a kill."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from itertools import count, groupby
from pathlib import Path
from typing import Any

import pytest

from r4t_ray.artifacts import MANIFEST, Artifact, Workspace
from r4t_ray.config import Settings
from r4t_ray.errors import ArtifactError, MissingArtifactError


class Words(Settings):
    words: tuple[str, ...] = ("salt", "thyme")


class Writer:
    """Writes one line per word, and counts its calls."""

    def __init__(self, words: tuple[str, ...] = ("salt", "thyme")) -> None:
        self.words, self.calls = words, 0

    def __call__(self, folder: Path) -> int:
        self.calls += 1
        (folder / "deep").mkdir()
        (folder / "deep" / "words.txt").write_text("\n".join(self.words))
        return len(self.words)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def build(workspace: Workspace, stage: str = "catalogue", make: Writer | None = None, **changes: object) -> Artifact:
    inputs = {"config": Words(), "seed": 0, "parents": ()} | changes
    return workspace.build(stage, make=make or Writer(), **inputs)


def files_of(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_manifest_states_what_was_written(workspace: Workspace) -> None:
    manifest = build(workspace, seed=7).manifest
    stored = json.loads((workspace.root / "catalogue" / MANIFEST).read_text())
    assert stored["rows"] == manifest.rows == 2
    assert stored["seed"] == 7
    assert stored["config"] == {"words": ["salt", "thyme"]}
    # sha256 of b"salt\nthyme", computed with sha256sum.
    digest = "7fbf7fb13d98a04c072ba134df10a4862ac0888641d117728d1ece1604fbc7d1"
    assert stored["files"] == {"deep/words.txt": digest}
    assert stored["versions"]["numpy"]


def test_current_stage_is_skipped(workspace: Workspace) -> None:
    make = Writer()
    first = build(workspace, make=make)
    before = files_of(first.path)
    assert build(workspace, make=make).manifest == first.manifest
    assert make.calls == 1
    assert files_of(first.path) == before


@pytest.mark.parametrize("changes", [{"seed": 1}, {"config": Words(words=("salt",))}], ids=["seed", "settings"])
def test_changed_input_rebuilds(workspace: Workspace, changes: dict[str, object]) -> None:
    make = Writer()
    build(workspace, make=make)
    build(workspace, make=make, **changes)
    assert make.calls == 2


def test_changed_parent_rebuilds_and_same_parent_does_not(workspace: Workspace) -> None:
    child = Writer()
    build(workspace)
    build(workspace, "encoder", make=child, parents=("catalogue",))
    # The parent is made again with the same contents, so the child is still current.
    (workspace.root / "catalogue" / MANIFEST).unlink()
    build(workspace)
    build(workspace, "encoder", make=child, parents=("catalogue",))
    assert child.calls == 1
    build(workspace, make=Writer(("oil",)), seed=1)
    build(workspace, "encoder", make=child, parents=("catalogue",))
    assert child.calls == 2


def test_child_of_a_rebuilt_parent_is_refused(workspace: Workspace) -> None:
    build(workspace)
    build(workspace, "encoder", parents=("catalogue",))
    build(workspace, make=Writer(("oil",)), seed=1)
    with pytest.raises(ArtifactError, match=r"another 'catalogue'.*r4t embed CONFIG"):
        workspace.artifact("encoder")


def test_missing_parent_names_the_command(workspace: Workspace) -> None:
    make = Writer()
    with pytest.raises(MissingArtifactError, match=r"no finished artifact.*r4t ingest CONFIG --workspace DIR"):
        build(workspace, "encoder", make=make, parents=("catalogue",))
    assert make.calls == 0
    assert not workspace.root.exists()


def tamper(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"salt", b"malt"))


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def remove(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("spoil", [tamper, truncate, remove])
def test_spoilt_file_is_refused_then_redone(workspace: Workspace, spoil: Callable[[Path], None]) -> None:
    make = Writer()
    artifact = build(workspace, make=make)
    before = files_of(artifact.path)
    spoil(artifact.path / "deep" / "words.txt")
    with pytest.raises(ArtifactError, match=r"words\.txt: got .*expected sha256 \w{12}; run `r4t ingest"):
        workspace.artifact("catalogue")
    build(workspace, make=make)
    assert make.calls == 2
    assert files_of(artifact.path) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "unreadable manifest"), ('{"schema": 1}', "unreadable manifest"), (None, "schema 99")],
    ids=["half a file", "missing fields", "another schema"],
)
def test_wrong_manifest_is_refused(workspace: Workspace, text: str | None, message: str) -> None:
    path = build(workspace).path / MANIFEST
    path.write_text(text if text is not None else path.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(ArtifactError, match=message):
        workspace.artifact("catalogue")


def test_file_outside_the_manifest_is_refused(workspace: Workspace) -> None:
    artifact = build(workspace)
    (artifact.path / "late.txt").write_text("x")
    assert artifact.file("deep/words.txt").is_file()
    with pytest.raises(ArtifactError, match=r"late\.txt"):
        artifact.file("late.txt")


def test_failing_stage_leaves_the_old_artifact(workspace: Workspace) -> None:
    before = files_of(build(workspace).path)

    def fail(folder: Path) -> int:
        (folder / "half.txt").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        workspace.build("catalogue", Words(), 1, (), fail)
    assert files_of(workspace.root / "catalogue") == before


BUILDER = """
    import sys, time
    from pathlib import Path
    from r4t_ray.artifacts import Workspace
    from r4t_ray.config import Settings

    def make(folder):
        for number in range(3):
            (folder / f"part_{number}.txt").write_text(str(number) * 100)
            print("wrote", number, flush=True)
            time.sleep(float(sys.argv[2]))
        return 3

    Workspace(sys.argv[1]).build("catalogue", Settings(), 0, (), make)
"""


PAUSE_S = 1.0
"""Pause between two files. A line through a pipe takes much less time."""


def run_builder(root: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(BUILDER), str(root), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("parts_before_kill", [1, 2])
def test_kill_9_in_the_middle_then_rerun_gives_the_same_files(tmp_path: Path, parts_before_kill: int) -> None:
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    with run_builder(unbroken, 0) as process:
        assert process.wait(30) == 0
    with run_builder(killed, PAUSE_S) as process:
        assert process.stdout is not None
        for number in range(parts_before_kill):
            assert process.stdout.readline() == f"wrote {number}\n"
        process.kill()
    assert not (killed / "catalogue").exists()
    assert (killed / "catalogue.partial").is_dir()
    with pytest.raises(MissingArtifactError):
        Workspace(killed).artifact("catalogue")
    with run_builder(killed, 0) as process:
        assert process.wait(30) == 0
    assert files_of(killed / "catalogue") == files_of(unbroken / "catalogue")
    assert not (killed / "catalogue.partial").exists()


class Cut(BaseException):
    """Stands for a kill: `except Exception` does not catch it."""


def cut_before(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process end before its n-th rename or removal."""
    left = iter([False] * call + [True] * 99)

    def cut(of: Any, name: str) -> None:
        real = getattr(of, name)

        def cut_or_call(*args: Any, **kwargs: Any) -> Any:
            if next(left):
                raise Cut
            return real(*args, **kwargs)

        monkeypatch.setattr(of, name, cut_or_call)

    for of, name in ((Path, "rename"), (Path, "replace"), (Path, "unlink"), (shutil, "rmtree")):
        cut(of, name)


@pytest.mark.parametrize("resumes", [True, False], ids=["resumes", "does not"])
@pytest.mark.parametrize("replaces", [True, False], ids=["another there", "none there"])
def test_a_kill_at_any_point_of_a_replacement_keeps_a_whole_folder(
    workspace: Workspace, replaces: bool, resumes: bool
) -> None:
    """After a kill at any file operation a whole folder is on disk. A finished or resumed build is not made again."""

    def make(folder: Path) -> int:
        made.append(not (folder / "words.txt").exists())
        (folder / "words.txt").write_text("new")
        return 1

    root = workspace.root / "catalogue"
    seen: list[str] = []
    for call in count():
        made: list[bool] = []
        shutil.rmtree(workspace.root, ignore_errors=True)
        old = files_of(build(workspace, seed=1).path) if replaces else {}
        with pytest.MonkeyPatch.context() as patch:
            cut_before(call, patch)
            try:
                workspace.build("catalogue", Words(), 0, (), make, resumes=resumes)
                was_cut = False
            except Cut:
                was_cut = True
        if was_cut and root.exists():
            seen.append("new" if workspace.artifact("catalogue").manifest.seed == 0 else "old")
        elif was_cut:
            seen.append("none")
            assert not replaces or files_of(root.with_name("catalogue.replaced")) == old
        has_manifest = (workspace.root / "catalogue.partial" / MANIFEST).exists() or seen[-1:] == ["new"] or not was_cut
        assert workspace.holds("catalogue") == (replaces or root.exists())
        workspace.build("catalogue", Words(), 0, (), make, resumes=resumes)
        assert [path.name for path in workspace.root.iterdir()] == ["catalogue"]
        assert sorted(files_of(root)) == [MANIFEST, "words.txt"]
        assert made.count(True) == 1 or not (has_manifest or resumes)
        if not was_cut:
            break
    kinds = [kind for kind, _ in groupby(seen)]
    assert kinds == (["old", "none", "new"] if replaces else ["none", "new"])
    assert seen.count("none") == 1 or not replaces


def test_the_old_folder_is_put_back_if_a_replacement_was_cut_off_before_the_rename(workspace: Workspace) -> None:
    old = files_of(build(workspace, seed=1).path)
    (workspace.root / "catalogue").rename(workspace.root / "catalogue.replaced")

    def fail(folder: Path) -> int:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        workspace.build("catalogue", Words(), 0, (), fail)
    assert files_of(workspace.root / "catalogue") == old


def test_a_parent_whose_replacement_was_cut_off_is_put_back_for_its_child(workspace: Workspace) -> None:
    build(workspace)
    (workspace.root / "catalogue").rename(workspace.root / "catalogue.replaced")
    build(workspace, "encoder", parents=("catalogue",))
    assert workspace.artifact("catalogue")


def test_a_stage_that_resumes_finds_its_files_only_for_the_same_inputs(workspace: Workspace) -> None:
    def cut_off(folder: Path) -> int:
        (folder / "half.txt").write_text("half")
        raise InterruptedError

    def go_on(folder: Path) -> int:
        found.append(sorted(path.name for path in folder.iterdir()))
        (folder / "half.txt").write_text("whole")
        return 1

    found: list[list[str]] = []
    for seed, resumes in ((0, True), (1, True), (0, False)):
        with pytest.raises(InterruptedError):
            workspace.build("folm", Words(), 0, (), cut_off, resumes=True)
        artifact = workspace.build("folm", Words(), seed, (), go_on, resumes=resumes)
        assert sorted(path.name for path in artifact.path.iterdir()) == ["half.txt", MANIFEST]
        assert list(artifact.manifest.files) == ["half.txt"]
        shutil.rmtree(artifact.path)
    assert found == [["half.txt", "inputs.json"], ["inputs.json"], ["inputs.json"]]


@pytest.mark.parametrize("folder", ["ingest", "embed", "report"])
def test_a_workspace_of_version_0_1_is_refused_and_left_alone(workspace: Workspace, folder: str) -> None:
    (workspace.root / folder).mkdir(parents=True)
    (workspace.root / folder / MANIFEST).write_text("{}")
    make = Writer()
    for use in (lambda: build(workspace, make=make), lambda: workspace.artifact("index")):
        with pytest.raises(ArtifactError, match=rf"made by r4t_ray 0\.1 .*'{folder}'.*in a new workspace"):
            use()
    assert make.calls == 0
    assert [path.name for path in workspace.root.iterdir()] == [folder]
