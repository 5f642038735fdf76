"""Whether vectors that entries bring along lie in the space of the encoder, which embeds the queries.

The cosine of each sampled text to its own vector is compared with its cosines to the other vectors. In one space the
own vector is nearly always the nearest. Vectors of another model rank at random, whatever cosines are usual there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from r4t_ray.encoders.settings import TextModel
from r4t_ray.errors import DataError
from r4t_ray.types import Array

MAX_TEXTS = 64
MIN_TEXTS = 16
"""Fewer different texts say too little."""
LEAST_SHARE = 0.6
"""Least ``own_share`` that is accepted. Chance gives 0.5, with a deviation of 0.07 for 16 texts and 0.04 for 64."""
FIX = "name the model that made the vectors as encoder.model; catalogue.embedding_field: null embeds the texts instead"


def spread_rows(count: int) -> list[int]:
    """At most MAX_TEXTS rows of ``count``, evenly spaced.

    >>> spread_rows(3)
    [0, 1, 2]
    """
    return [int(row) for row in np.linspace(0, count - 1, min(count, MAX_TEXTS))]


def require_same_space(model: TextModel, texts: Sequence[str], given_ND: Array, where: str) -> None:
    """Check the width of given vectors and, if at least MIN_TEXTS texts differ, that they fit their own texts.

    Args:
        model: The encoder of the queries.
        texts: Texts of a few entries.
        given_ND: The unit vectors that came with these entries.
        where: The vectors, for messages.

    Raises:
        DataError: They have another width than the model's, or fit their texts no better than chance.
    """
    rows = list({text: row for row, text in enumerate(texts)}.values())
    emb_ND = model.encode([texts[row] for row in rows], "document")
    require_width(model, emb_ND.shape[1], given_ND.shape[1], where)
    if len(rows) < MIN_TEXTS:
        return
    share = own_share(emb_ND, given_ND[rows])
    if share < LEAST_SHARE:
        raise DataError(
            where,
            f"vectors that {model.name} does not give: of {len(rows)} entries, the text is nearer to its own vector "
            f"than to {share:.0%} of the others, and chance gives 50%",
            f"at least {LEAST_SHARE:.0%}, as vectors of one model have",
            f"{FIX}; if the texts say nothing about the entries, set encoder.check_vectors: false",
        )


def require_width(model: TextModel, width: int, given: int, where: str) -> None:
    """Raise DataError unless the given vectors have the width of the model's."""
    if given != width:
        raise DataError(where, f"vectors of width {given}", f"width {width}, as {model.name} gives", FIX)


def own_share(emb_ND: Array, given_ND: Array) -> float:
    """Mean share of the other vectors that are farther from a text than its own vector. A tie counts as half.

    >>> own_share(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32))
    1.0
    """
    cosines_NN = emb_ND @ given_ND.T
    own_N1 = np.diag(cosines_NN)[:, None]
    wins_NN = (own_N1 > cosines_NN) + 0.5 * (own_N1 == cosines_NN)
    others = len(emb_ND) - 1
    return float((wins_NN.sum() - 0.5 * len(emb_ND)) / (len(emb_ND) * others))
