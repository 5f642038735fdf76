"""Writes the expansions of a catalogue: wishes that each entry answers, for ``catalogue.expansions``."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from pathlib import Path

from r4t_ray.annotation.asking import nothing_usable, texts_of_replies
from r4t_ray.annotation.entries import texts_by_id
from r4t_ray.annotation.expansion_prompts import expansion_prompt, read_expansions
from r4t_ray.annotation.lines import LinesFile
from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import expansions as stored
from r4t_ray.catalogue import has_sets
from r4t_ray.endpoints.chat import ChatEndpoint

ENTRIES_PER_CALL = 20
SEED = 0
"""Decides which entries share a prompt. Neighbours in a file are often alike, and the model then repeats itself."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Expanded:
    """What the file holds: entries with expansions, and the entries of the catalogue."""

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
    file, text_of = LinesFile(out), texts_by_id(workspace)
    name = stored.id_name(has_sets(workspace))
    known = set(stored.read_expansions(out, has_sets(workspace))) if file.has_lines() else set()
    left = [entry for entry in text_of if entry not in known]
    random.Random(SEED).shuffle(left)
    calls = [left[start : start + ENTRIES_PER_CALL] for start in range(0, len(left), ENTRIES_PER_CALL)]
    for start in range(0, len(calls), endpoint.max_concurrency):
        asked = calls[start : start + endpoint.max_concurrency]
        prompts = [expansion_prompt(about, [text_of[entry] for entry in part]) for part in asked]
        replies = texts_of_replies(endpoint, prompts)
        found = [
            {name: part[place], "text": wish}
            for part, reply in zip(asked, replies, strict=True)
            for place, wishes in read_expansions(reply or "", len(part)).items()
            for wish in wishes
        ]
        if not found:
            raise nothing_usable(
                endpoint,
                f"no wishes in {len(replies)} replies, the first {(replies[0] or '')[:200]!r}",
                "take a larger model; what was written before stays",
            )
        file.add(found)
        known |= {record[name] for record in found}
        _logger.info("write-expansions: %d of %d entries", len(known & text_of.keys()), len(text_of))
    return Expanded(num_expanded=len(known & text_of.keys()), num_entries=len(text_of))
