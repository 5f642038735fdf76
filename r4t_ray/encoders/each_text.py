"""What holds for each text that a model embeds: it has a kind, and it gets a direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from r4t_ray.errors import DataError
from r4t_ray.types import Array, TextKind

SHOWN_CHARS = 200


def kind_of_each(texts: Sequence[str], kinds: TextKind | Sequence[TextKind]) -> Sequence[TextKind]:
    """The kind of each text, where ``kinds`` is the kind of all texts or of each.

    >>> kind_of_each(["soup", "pie"], "query")
    ['query', 'query']
    """
    return [kinds] * len(texts) if isinstance(kinds, str) else kinds


def require_directions(emb_ND: Array, texts: Sequence[str], where: str, fix: str) -> None:
    """Raise DataError if a row, which should have unit length, is 0 or not finite. It names the first such text."""
    norms_N = np.linalg.norm(emb_ND, axis=1)
    bad = np.flatnonzero(~(norms_N > 0.5))
    if len(bad):
        fault = "is 0" if norms_N[bad[0]] == 0 else "is not finite"
        raise DataError(
            where,
            f"a vector that {fault} for {len(bad)} of {len(texts)} texts, the first {shown(texts[bad[0]])}",
            "a finite vector that is not 0 for every text",
            f"change or leave out the text, or {fix}",
        )


def shown(text: str) -> str:
    """A text in a message: its beginning, and its length if it is long."""
    return repr(text[:SHOWN_CHARS]) + (f" ({len(text):,} characters)" if len(text) > SHOWN_CHARS else "")
