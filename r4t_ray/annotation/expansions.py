"""Writes the expansions of a catalogue: wishes that each entry answers, for ``catalogue.expansions``."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from r4t_ray.annotation.asking import Rounds
from r4t_ray.annotation.entries import load_catalogue, texts_by_id
from r4t_ray.annotation.expansion_prompts import expansion_prompt, read_expansions
from r4t_ray.annotation.lines import LinesFile
from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import expansions as stored
from r4t_ray.catalogue.catalogue import are_items
from r4t_ray.endpoints.chat import ChatEndpoint

ENTRIES_PER_CALL = 20
MAX_PASSES = 2
SEED = 0
"""Decides which entries share a prompt. Neighbours in a file are often alike, and the model then repeats itself."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Expanded:
    """The state of the file: entries with expansions, and the entries of the catalogue."""

    num_expanded: int
    num_entries: int


def write_expansions(out: Path, about: str, workspace: Workspace, endpoint: ChatEndpoint) -> Expanded:
    """Write wishes for every entry that the file lacks.

    Args:
        out: The file. A file that this command wrote is continued, after a stop or when the catalogue has new entries.
        about: What the catalogue is, such as "dishes for home cooks"; may be empty.
        workspace: A workspace with ``catalogue``. It is not changed.
        endpoint: The language model. It is sent titles and items of the catalogue.

    Raises:
        ArtifactError: The stage is missing or was changed.
        ConfigError: The endpoint refuses the key or does not know the model, or the file has another form.
        DataError: The file is there and has no expansions.
        MachineError: The endpoint does not answer, or its model does not write what it is asked for.
    """
    file, catalogue, rounds = LinesFile(out), load_catalogue(workspace), Rounds(endpoint)
    text_of, with_sets = texts_by_id(catalogue), not are_items(catalogue.sets)
    known = set(stored.read_expansions(out, with_sets)) if file.has_lines() else set()
    for _ in range(MAX_PASSES):  # the later ones ask again for what a reply left out
        left = [entry for entry in text_of if entry not in known]
        random.Random(SEED).shuffle(left)
        calls = [left[start : start + ENTRIES_PER_CALL] for start in range(0, len(left), ENTRIES_PER_CALL)]
        for start in range(0, len(calls), endpoint.max_concurrency):
            found = _expansions(about, text_of, calls[start : start + endpoint.max_concurrency], rounds)
            file.add([{stored.id_name(with_sets): entry, "text": wish} for entry in found for wish in found[entry]])
            known |= found.keys()
            state = f"{len(known & text_of.keys())} of {len(text_of)} entries"
            _logger.info("write-expansions: %s", state)
            rounds.end(len(found), "no wishes", f"the {state} that {out} has")
    return Expanded(num_expanded=len(known & text_of.keys()), num_entries=len(text_of))


def _expansions(
    about: str, text_of: Mapping[str, str], calls: Sequence[Sequence[str]], rounds: Rounds
) -> dict[str, list[str]]:
    """Id -> wishes, for the entries of some calls. Entries that a reply leaves out are left out."""
    replies = rounds.ask([expansion_prompt(about, [text_of[entry] for entry in part]) for part in calls])
    return {
        part[place]: wishes
        for part, reply in zip(calls, replies, strict=True)
        for place, wishes in read_expansions(reply or "", len(part)).items()
    }
