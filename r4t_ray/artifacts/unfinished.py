"""The folder of an unfinished stage, and what becomes of it when its inputs change.

A stage that resumes finds its files if it is begun again with the same inputs. Files of other inputs are named in a
warning and set aside; they come back with their inputs, and go when the stage is finished.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

from r4t_ray.artifacts.inputs import StageInputs
from r4t_ray.files import partial_folder, write_json

INPUTS = "inputs.json"
"""File in the folder of an unfinished stage: the inputs that it is made from."""
HASH_OF_ALL_INPUTS = "key"
"""The same in folders that r4t_ray up to 0.2.0.dev0 began: ``StageInputs.key_of_all``."""
BEGUN = (INPUTS, HASH_OF_ALL_INPUTS)
SET_ASIDE = ".set_aside"
"""Ends the name of a folder with unfinished work of other inputs."""

_logger = logging.getLogger(__name__)


def begin(final: Path, inputs: StageInputs, *, resumes: bool) -> Path:
    """Prepare the folder in which ``final`` is made.

    Args:
        final: The stage's folder.
        inputs: What it is made from now.
        resumes: Keep the files that an earlier call with the same inputs left. False empties the folder.

    Returns:
        ``final``'s partial folder.
    """
    partial, aside = partial_folder(final), set_aside_folder(final)
    if resumes and changes(partial, inputs) == []:
        return partial
    if resumes:
        _change_places(final, inputs)
        if changes(partial, inputs) == []:
            _logger.warning("%s: continued with the work that was set aside in %s", final.name, aside)
            return partial
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write_json(partial / INPUTS, inputs.recorded())
    return partial


def set_aside_folder(final: Path) -> Path:
    """The folder of unfinished work of other inputs."""
    return final.with_name(f"{final.name}{SET_ASIDE}")


def remove_marks(final: Path) -> None:
    """Remove the files that say what an unfinished stage is made from."""
    for name in BEGUN:
        if (final / name).exists():
            (final / name).unlink()


def remove_set_aside(final: Path) -> None:
    """Remove unfinished work of other inputs, now that the stage is finished."""
    shutil.rmtree(set_aside_folder(final), ignore_errors=True)


def changes(partial: Path, inputs: StageInputs) -> list[str] | None:
    """What changed since ``partial`` was begun; None if nothing was begun there."""
    by_older_version = partial / HASH_OF_ALL_INPUTS
    if (partial / INPUTS).is_file():
        return inputs.changes_from(json.loads((partial / INPUTS).read_text(encoding="utf-8")))
    if not by_older_version.is_file():
        return None
    same = by_older_version.read_text(encoding="utf-8") == inputs.key_of_all
    return [] if same else ["settings, seed or parents differ (the older version kept only a hash of them)"]


def _change_places(final: Path, inputs: StageInputs) -> None:
    """Set unfinished work of other inputs aside, and put back what was set aside if it fits the inputs."""
    partial, aside = partial_folder(final), set_aside_folder(final)
    changed, is_wanted = changes(partial, inputs), changes(aside, inputs) == []
    has_work = changed is not None and any(path.name not in BEGUN for path in partial.iterdir())
    waiting = aside.with_name(f"{aside.name}.new")
    shutil.rmtree(waiting, ignore_errors=True)
    if has_work:
        replaced = "" if is_wanted or not aside.exists() else ", in place of the work that was there"
        _logger.warning(
            f"{final.name}: the unfinished work in {partial} is of other inputs: {'; '.join(changed or ())}. It is set "
            f"aside in {aside}{replaced}. Set them back and run the command again to continue it; it is removed once "
            f"{final.name} is finished"
        )
        partial.rename(waiting)
    if is_wanted:
        shutil.rmtree(partial, ignore_errors=True)
        aside.rename(partial)
    if has_work:
        shutil.rmtree(aside, ignore_errors=True)
        waiting.rename(aside)
