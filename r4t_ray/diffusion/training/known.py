"""The training queries with known relevant entries, for a retriever's memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.dataset as pads
from numpy.typing import NDArray

from r4t_ray.diffusion.memory import NO_ENTRY
from r4t_ray.stages import REFERENCE
from r4t_ray.types import Array

MOST_KEYS = 100_000
MOST_ENTRIES = 64
"""Most relevant entries of a query that are remembered."""

_logger = logging.getLogger(__name__)


class KnownAnswers(NamedTuple):
    """Unit embeddings of T queries, and the numbers of up to R relevant anchors of each; NO_ENTRY ends a row."""

    keys_TD: Array
    entries_TR: NDArray[np.int32]


def known_answers(pairs_folder: Path, number_of: Mapping[str, int]) -> KnownAnswers | None:
    """The training queries of one task whose pairs come from references; None if there is none.

    Args:
        pairs_folder: One task's pairs.
        number_of: Id of an entry -> the number of its anchor. Other entries are left out.
    """
    files = sorted(pairs_folder.glob(f"{REFERENCE}*.parquet"))
    if not files:
        return None
    keys: dict[str, Array] = {}
    entries: dict[str, dict[int, None]] = {}
    columns = ["query_id", "z_q", "item_ids"]
    pairs = pads.dataset(files, format="parquet").scanner(columns, filter=pads.field("split") == "train")
    for row in (row for batch in pairs.to_batches() for row in batch.to_pylist()):
        numbers = [number_of[name] for name in row["item_ids"] if name in number_of]
        if numbers:
            keys.setdefault(row["query_id"], np.asarray(row["z_q"], np.float32))
            entries.setdefault(row["query_id"], {}).update(dict.fromkeys(numbers))
    if not keys:
        return None
    kept = list(keys)[:MOST_KEYS]
    if len(kept) < len(keys):
        _logger.warning("train-diffusion: %d of %d queries with relevant entries are remembered", len(kept), len(keys))
    entries_TR = np.full((len(kept), min(MOST_ENTRIES, max(map(len, entries.values())))), NO_ENTRY, np.int32)
    for row_R, name in zip(entries_TR, kept, strict=True):
        own = list(entries[name])[: len(row_R)]
        row_R[: len(own)] = own
    keys_TD = np.stack([keys[name] for name in kept])
    return KnownAnswers(keys_TD / np.linalg.norm(keys_TD, axis=1, keepdims=True), entries_TR)
