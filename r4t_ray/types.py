"""Basic types, and the legend of the axis suffixes in array names.

B queries of a batch          G rollouts of one query      k directions kept per query
L rows the diffusion emits    K hits of one direction      M items or sets of a pool
D embedding width             T tokens                     S noise levels

``item_emb_MD`` is float32 with unit rows; ``scores_BK`` are cosines; ``rows_BK`` are int64 positions in a pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Task = Literal["oar", "wscr"]
"""oar: open-ended abstract retrieval of collections. wscr: weakly supervised compositional retrieval of items."""

TASKS: tuple[Task, ...] = get_args(Task)

POOLS: dict[Task, str] = {"oar": "sets", "wscr": "items"}
"""The pool of each task, which is also the name of its file in ``catalogue/`` and in ``encoder/``."""

LivePool = Literal["items", "sets"]
"""A pool of the catalogue that live changes name."""

IndexName = Literal["oar", "wscr", "decoder"]
"""An index that a query searches. oar and wscr hold the embeddings of the task's pool, and decoder holds the item
vectors of the WSCR decoder, in the same row order as wscr."""

Split = Literal["train", "val", "test"]

SPLITS: tuple[Split, ...] = get_args(Split)

TextKind = Literal["query", "document"]
"""query: what is asked, sub-queries included. document: an entry of a pool. Some encoders embed them differently."""

Array = NDArray[np.float32]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
Hits = tuple[Array, Rows]
"""Scores and pool rows of the hits of each direction, both (L, K), best first. Row -1 with score -inf is padding."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """One search of a pool.

    Attributes:
        z_LD: Directions, float32 with unit rows; for the index of the decoder its query vectors.
        num_hits: Hits of each direction.
        exclude: Pool rows that no direction may find.
        where: The only pool rows that a direction may find, as their numbers or as a mask of the pool, shape (M,). None
            is all rows.
    """

    z_LD: Array
    num_hits: int
    exclude: tuple[int, ...] = ()
    where: Rows | Mask | None = None


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """One read of stored embeddings: of these rows of the pool. The answer has shape (K, D)."""

    rows: Rows
