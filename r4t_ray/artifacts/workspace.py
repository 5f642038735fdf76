"""The folder of one experiment: opens, makes and verifies the artifacts of its stages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path

from r4t_ray.artifacts.inputs import StageInputs
from r4t_ray.artifacts.lock import locked
from r4t_ray.artifacts.manifest import MANIFEST, Artifact, Manifest, make_manifest, read_manifest, rerun, verify_files
from r4t_ray.artifacts.unfinished import begin, remove_marks, remove_set_aside
from r4t_ray.config import Settings
from r4t_ray.errors import ArtifactError
from r4t_ray.files import (
    finish_replacement,
    partial_folder,
    put_in_place,
    remove_leftovers,
    replaced_folder,
    write_json,
)

FOLDERS_OF_VERSION_0_1 = ("ingest", "embed", "report")
"""Stage folders that only r4t_ray 0.1 wrote."""

_logger = logging.getLogger(__name__)


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
                    rerun(stage),
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
            stage: Name of the folder: the section of a stage, NEW_ENTRIES or OPERATING_POINTS.
            config: The stage's settings. The artifact is made again when they change.
            seed: The experiment's seed. The artifact is made again when it changes.
            parents: Sections whose contents this stage reads. They are verified first.
            make: Fills the folder and returns the number of rows (or steps) that it wrote.
            resumes: If True, ``make`` finds the files that an earlier, unfinished call with the same inputs left. If
                False, its folder is empty.

        Raises:
            ArtifactError: Another process makes artifacts in this workspace, or a parent was changed.
        """
        self._refuse_version_0_1()
        with self.locked():
            for name in (stage, *parents):
                _recover(self.root / name)
            fingerprints = {parent: self.artifact(parent).manifest.fingerprint for parent in parents}
            inputs = StageInputs.of(config, seed, fingerprints)
            final = self.root / stage
            if current := _whole(final, inputs):
                return Artifact(path=final, manifest=_record(final, current, inputs))
            manifest = _whole(partial_folder(final), inputs)
            if manifest is None:
                _name_what_is_replaced(final, inputs)
                manifest = _make(begin(final, inputs, resumes=resumes), stage, inputs, make)
            put_in_place(partial_folder(final), final)
            _recover(final)
            remove_set_aside(final)
            return Artifact(path=final, manifest=manifest, is_new=True)

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from making artifacts here. Nested blocks of one process are allowed.

        Raises:
            ArtifactError: Another process holds the lock (``lock``).
        """
        return locked(self.root)

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


def _make(partial: Path, stage: str, inputs: StageInputs, make: Callable[[Path], int]) -> Manifest:
    """Fill the folder and write its manifest last."""
    rows = make(partial)
    remove_leftovers(partial)
    manifest = make_manifest(stage, partial, rows, inputs)
    write_json(partial / MANIFEST, asdict(manifest))
    return manifest


def _whole(path: Path, inputs: StageInputs) -> Manifest | None:
    """The manifest of a folder that is intact and was made from the same inputs, or None."""
    try:
        manifest = read_manifest(path)
        if inputs.changes_from(manifest.recorded):
            return None
        verify_files(path, manifest)
    except ArtifactError:
        return None
    return manifest


def _record(final: Path, manifest: Manifest, inputs: StageInputs) -> Manifest:
    """The manifest with the present settings, because later stages read from it those that change no result too."""
    if manifest.config == inputs.config:
        return manifest
    manifest = replace(manifest, config=inputs.config, key=inputs.key)
    write_json(final / MANIFEST, asdict(manifest))
    return manifest


def _name_what_is_replaced(final: Path, inputs: StageInputs) -> None:
    """Say why a finished stage is made again, before anything is done."""
    try:
        manifest = read_manifest(final)
    except ArtifactError:
        return
    why = "; ".join(inputs.changes_from(manifest.recorded)) or "a file was changed or lost"
    _logger.warning("%s is made again: %s. %s stays until the new one is whole", final.name, why, final)


def _recover(final: Path) -> None:
    """Finish a replacement of ``final`` that was cut off, and remove the marks of an unfinished stage."""
    finish_replacement(final)
    remove_marks(final)
