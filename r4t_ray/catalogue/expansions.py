"""Expansions: queries that an entry answers. The embed stage moves the vector of the entry towards them.

A record has a ``text`` and a ``set_id``; in a catalogue without sets an ``item_id``. An entry may have several records.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.catalogue.catalogue import ItemSet
from r4t_ray.catalogue.records import Fields, id_field, read_records, text_field
from r4t_ray.embedding_table import expansions_file
from r4t_ray.errors import DataError

SCHEMA = pa.schema([("set_id", pa.string()), ("text", pa.string())])
GROUP_ROWS = 16_384

_logger = logging.getLogger(__name__)


def id_name(has_sets: bool) -> str:
    """The field that names the entry."""
    return "set_id" if has_sets else "item_id"


def read_expansions(path: Path, has_sets: bool) -> dict[str, list[str]]:
    """Id of an entry -> its queries, in the order of the file and without repeats.

    Args:
        path: A file, a folder of parts or a glob.
        has_sets: Whether the entries are sets that people put together, or items.

    Raises:
        DataError: The file is missing, unreadable or empty; a text is empty; or an id breaks the rule.
    """
    name = id_name(has_sets)
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for place, fields in read_records(path, Fields(required=("text", name))):
        text = " ".join(text_field(place, fields, "text").split())
        if not text:
            raise DataError(place, "an empty text", "a query that the entry answers", "write one or remove the record")
        found[id_field(place, fields, name)][text] = None
    if not found:
        raise DataError(str(path), "no record", f"records with text and {name}", "leave out catalogue.expansions")
    return {entry: list(texts) for entry, texts in found.items()}


def write_expansions(
    folder: Path, path: Path, sets: Sequence[ItemSet], whole: Sequence[ItemSet], *, has_sets: bool
) -> None:
    """Write expansions.parquet, in the order of the sets. Without expansions of these sets nothing is written.

    Args:
        folder: The folder of the stage.
        path: The file of the expansions. Entries that the catalogue lacks are left out and counted.
        sets: The sets of the workspace.
        whole: All sets of the catalogue, with the ones that ``catalogue.max_sets`` leaves out.
        has_sets: Whether people put the sets together.

    Raises:
        DataError: The file cannot be used, or no record belongs to an entry of the catalogue.
    """
    found = read_expansions(path, has_sets)
    num_unknown = len(found.keys() - {row.set_id for row in whole})
    if num_unknown == len(found):
        raise DataError(
            str(path),
            f"{len(found)} entries, of which the catalogue has none",
            f"{id_name(has_sets)}s of the catalogue",
            "write the expansions for this catalogue (`r4t write-expansions`)",
        )
    if num_unknown:
        _logger.warning("catalogue.expansions: left out, because the catalogue lacks them: %d entries", num_unknown)
    known = [row.set_id for row in sets if row.set_id in found]
    if not known:
        return
    texts = [found[name] for name in known]
    ids = pa.array([name for name, own in zip(known, texts, strict=True) for _ in own], pa.string())
    table = pa.table([ids, pa.array([text for own in texts for text in own], pa.string())], schema=SCHEMA)
    pq.write_table(table, expansions_file(folder), row_group_size=GROUP_ROWS)
    _logger.info("%d of %d entries have expansions, %.1f on average", len(known), len(sets), len(ids) / len(known))
