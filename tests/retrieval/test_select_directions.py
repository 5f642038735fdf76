from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.errors import RequestError
from r4t_ray.retrieval.finding import select_directions

EAST, NORTH, WEST = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]
NORTH_EAST = [0.8, 0.6]


def select(z: list[list[float]], rows: list[int], cosines: list[float], k: int) -> list[int]:
    return select_directions(np.array(z, np.float32), np.array(rows), np.array(cosines, np.float32), k, "heun")


def first_distinct(rows: list[int], k: int) -> list[int]:
    """The choice from rows that a solver ranked. Groundedness and diversity do not matter."""
    z_LD, cosines_L = np.zeros((len(rows), 2), np.float32), np.linspace(0, 1, len(rows), dtype=np.float32)
    return select_directions(z_LD, np.array(rows), cosines_L, k, "top_anchors")


def test_most_grounded_first_then_least_similar() -> None:
    """NORTH_EAST comes first, then WEST (cosine -0.8). The highest cosines are 0.8 (EAST) and 0.6 (NORTH): NORTH."""
    z = [EAST, NORTH, NORTH_EAST, WEST]
    assert select(z, [10, 11, 12, 13], [0.5, 0.6, 0.9, 0.7], 3) == [2, 3, 1]


def test_a_shared_item_is_kept_once_by_its_closest_row() -> None:
    z = [EAST, EAST, NORTH, WEST]
    assert select(z, [10, 10, 11, 12], [0.5, 0.9, 0.8, 0.3], 3) == [1, 3, 2]


def test_ties_go_to_the_more_grounded_then_to_the_lower_row() -> None:
    z = [EAST, NORTH, [0.0, -1.0]]
    assert select(z, [0, 1, 2], [0.9, 0.3, 0.4], 2) == [0, 2]
    assert select(z, [0, 1, 2], [0.9, 0.4, 0.4], 2) == [0, 1]
    assert select(z, [0, 1, 2], [0.4, 0.4, 0.4], 1) == [0]


def test_duplicates_fill_up_only_when_items_run_out() -> None:
    """Rows 0 and 3 lead to the two items. The next row is the one farther from both."""
    z = [EAST, NORTH_EAST, NORTH, WEST]
    assert select(z, [7, 7, 7, 8], [1.0, 0.8, 0.1, 1.0], 2) == [0, 3]
    assert select(z, [7, 7, 7, 8], [1.0, 0.8, 0.1, 1.0], 3) == [0, 3, 2]
    assert select(z, [7, 7, 7, 8], [1.0, 0.8, 0.1, 1.0], 4) == [0, 3, 2, 1]


def test_the_kept_items_do_not_depend_on_row_order() -> None:
    rng = np.random.default_rng(0)
    z_LD = rng.normal(size=(12, 8)).astype(np.float32)
    z_LD /= np.linalg.norm(z_LD, axis=1, keepdims=True)
    pool_MD = z_LD[:9]
    cosines_LM = z_LD @ pool_MD.T * rng.uniform(0.9, 1, size=(12, 1)).astype(np.float32)
    nearest_L, cos_L = cosines_LM.argmax(axis=1), cosines_LM.max(axis=1)
    kept = select_directions(z_LD, nearest_L, cos_L, 7, "heun")
    order = rng.permutation(12)
    shuffled = select_directions(z_LD[order], nearest_L[order], cos_L[order], 7, "heun")
    assert [int(order[row]) for row in shuffled] == kept
    assert len(set(nearest_L[kept])) == 7


@pytest.mark.parametrize("k", [0, 3])
def test_k_out_of_range(k: int) -> None:
    with pytest.raises(RequestError, match="1 to 2"):
        select([EAST, NORTH], [0, 1], [1.0, 1.0], k)
    with pytest.raises(RequestError, match="1 to 2"):
        first_distinct([0, 1], k)


def test_of_ranked_rows_the_first_that_lead_to_different_items_are_kept() -> None:
    rows = [7, 3, 7, 5, 3]
    assert [first_distinct(rows, k) for k in (1, 2, 3)] == [[0], [0, 1], [0, 1, 3]]
    assert first_distinct(rows, 5) == [0, 1, 3, 2, 4]
