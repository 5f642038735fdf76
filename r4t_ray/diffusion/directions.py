"""Which k of the L generated rows become the directions of a query."""

from __future__ import annotations

import numpy as np

from r4t_ray.errors import RequestError
from r4t_ray.types import Array, Rows


def select_directions(
    z_LD: Array, nearest_rows_L: Rows, nearest_cos_L: Array, k: int, *, ranked: bool = False
) -> list[int]:
    """Keep k rows that lead to different items, are grounded, and cover different ground.

    1. Of the rows that share a nearest item only the closest to it stays.
    2. The row closest to its item (most grounded, arXiv 2603.06397 eq. 3) is kept first; then, one by one, the row
       least similar to those kept: the one with the lowest highest cosine to them. Ties go to the more grounded row,
       then to the lower row number.
    3. When fewer than k items are distinct, the rows set aside in step 1 fill up by the same rule.

    Rows that come best first are kept as ``first_distinct`` says.

    Args:
        z_LD: Generated unit rows.
        nearest_rows_L: Pool row of each row's nearest item.
        nearest_cos_L: Cosine of a row and its item.
        k: Rows to keep.
        ranked: Whether the rows come best first, as those of ``RANKED_SOLVERS`` do.

    Returns:
        k row numbers in the order they were kept.

    Raises:
        RequestError: k is below 1 or above L.
    """
    if not 1 <= k <= len(z_LD):
        raise RequestError("k", str(k), f"1 to {len(z_LD)} (the rows generated)", "ask for fewer directions")
    if ranked:
        return first_distinct(nearest_rows_L, k)
    by_groundedness = sorted(range(len(z_LD)), key=lambda row: (-float(nearest_cos_L[row]), row))
    closest: dict[int, int] = {}
    for row in by_groundedness:
        closest.setdefault(int(nearest_rows_L[row]), row)
    distinct = list(closest.values())
    kept: list[int] = []
    _extend(kept, distinct, z_LD, k)
    _extend(kept, [row for row in by_groundedness if row not in set(distinct)], z_LD, k)
    return kept


def first_distinct(nearest_rows_L: Rows, k: int) -> list[int]:
    """The first k rows that lead to different items; where fewer are distinct, those passed over fill up in order."""
    distinct = sorted(np.unique(nearest_rows_L, return_index=True)[1].tolist())
    return (distinct + [row for row in range(len(nearest_rows_L)) if row not in distinct])[:k]


def _extend(kept: list[int], candidates: list[int], z_LD: Array, k: int) -> None:
    """Append candidates (best first on ties) by lowest highest cosine to those kept, until k are."""
    candidates = list(candidates)
    while candidates and len(kept) < k:
        similarity_kk = z_LD[candidates] @ z_LD[kept].T
        # An empty ``kept`` leaves every candidate equal, so the first, most grounded, one is taken.
        closeness_k = similarity_kk.max(axis=1, initial=-np.inf)
        kept.append(candidates.pop(int(np.argmin(closeness_k))))
