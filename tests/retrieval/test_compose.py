"""Selection and merging, checked with numbers computed by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from r4t_ray.diffusion import SolverName
from r4t_ray.errors import RequestError
from r4t_ray.index.shard import leave_out
from r4t_ray.retrieval.compose import answer
from r4t_ray.retrieval.finding import select_directions
from r4t_ray.retrieval.generation import Generated, check_k, generation_request
from r4t_ray.retrieval.open_task import Labels, OpenTask, Pool
from r4t_ray.retrieval.picking import run
from r4t_ray.retrieval.request import RetrieveRequest, parse_request
from r4t_ray.retrieval.response import ModelInfo, RetrieveResponse
from r4t_ray.types import Fetch, Hits, IndexName, Search

MODEL = ModelInfo(encoder="e", index="i", diffusion="d", num_rows=4, solver="heun", num_steps=8, guidance=0.1)
POOL = Pool(ids=[f"item-{row}" for row in range(6)], texts=[f"text {row}" for row in range(6)])
OPENED = OpenTask(task="oar", pool=POOL, model=MODEL)

# Directions 0 and 1 have the same nearest item, row 5. Direction 1 is closer to it. Direction 2 is at 90 degrees to
# direction 1, and direction 3 is at 45 degrees.
HALF = np.sqrt(0.5)
Z_LD = np.array([[1, 0.0], [1, 0.0], [0, 1], [HALF, HALF]], np.float32)
ROWS_LK = np.array([[5, 1], [5, 2], [3, 1], [4, 3]], np.int64)
SCORES_LK = np.array([[0.80, 0.30], [0.90, 0.50], [0.70, 0.40], [0.85, 0.75]], np.float32)


def keep(k: int, solver: SolverName) -> list[int]:
    return select_directions(Z_LD, ROWS_LK[:, 0], SCORES_LK[:, 0], k, solver)


def test_the_closest_row_of_an_item_is_kept_and_then_the_farthest_rows() -> None:
    # 1 is the most grounded. 2 is farther from it (cosine 0) than 3 (cosine 0.71). 0 repeats item 5 and comes last.
    assert keep(3, "heun") == [1, 2, 3]
    assert keep(4, "heun") == [1, 2, 3, 0]


def test_directions_of_a_ranking_solver_keep_its_order() -> None:
    assert keep(2, "top_anchors") == [0, 2]
    assert keep(4, "top_anchors") == [0, 2, 3, 1]


def answered(request: RetrieveRequest, opened: OpenTask, hits: Hits = (SCORES_LK, ROWS_LK)) -> RetrieveResponse:
    """The answer if every search finds the given hits."""

    def search(name: IndexName, wanted: Search | Fetch) -> Any:
        assert name == "oar"
        if isinstance(wanted, Fetch):
            return np.eye(6, 2, dtype=np.float32)[wanted.rows]
        return leave_out(*hits, wanted.exclude, wanted.num_hits)

    return run(answer(request, opened, Generated(Z_LD[0], Z_LD)), search)


def test_merged_items_keep_the_best_score_and_every_direction_that_lists_them() -> None:
    response = answered(parse_request(query="dinner", k=3, n=2), OPENED)
    assert [(item.id, round(item.score, 2), item.directions) for item in response.items] == [
        ("item-5", 0.90, [0]),
        ("item-4", 0.85, [2]),
        ("item-3", 0.75, [1, 2]),
        ("item-2", 0.50, [0]),
        ("item-1", 0.40, [1]),
    ]


def test_the_best_items_of_the_whole_answer_stand_under_their_nearest_direction() -> None:
    hits = (
        np.array([[0.8, 0.3, 0.2], [0.9, 0.5, 0.1], [0.7, 0.6, 0.4]], np.float32),
        np.array([[5, 1, 3], [5, 2, 0], [3, 1, 4]]),
    )
    ranking = replace(OPENED, model=MODEL.model_copy(update={"solver": "top_anchors"}))
    response = answered(parse_request(query="dinner", k=2, total=3), ranking, hits)
    # The kept directions are 0 and 2. Their best three items: 5 (0.8), 3 (0.7 under direction 2) and 1 (0.6 there too).
    assert [(item.id, item.directions) for item in response.items] == [
        ("item-5", [0]),
        ("item-3", [1]),
        ("item-1", [1]),
    ]
    assert [[item.id for item in direction.items] for direction in response.directions] == [
        ["item-5"],
        ["item-3", "item-1"],
    ]
    shares = np.exp([0.8, 0.7, 0.6]) / np.exp([0.8, 0.7, 0.6]).sum()
    assert [direction.weight for direction in response.directions] == pytest.approx([shares[0], shares[1:].sum()])


def test_n_beside_total_is_refused() -> None:
    with pytest.raises(RequestError, match=r"total: got 5; expected .*n or total, not both"):
        parse_request(query="dinner", n=3, total=5)
    assert parse_request(query="dinner").items_per_direction == 10
    assert parse_request(query="dinner", total=5).items_per_direction is None


def test_compose_writes_directions_and_their_union() -> None:
    request = parse_request(query="dinner", k=2, n=2, seed=3)
    response = answered(request, OPENED)
    assert [[item.id for item in direction.items] for direction in response.directions] == [
        ["item-5", "item-2"],
        ["item-3", "item-1"],
    ]
    assert [direction.index for direction in response.directions] == [0, 1]
    assert [item.id for item in response.items] == ["item-5", "item-3", "item-2", "item-1"]
    assert response.items[0].text == "text 5"
    assert (response.task, response.query, response.seed) == ("oar", "dinner", 3)


def test_compose_keeps_the_order_of_a_ranking_solver() -> None:
    request = parse_request(query="dinner", k=2, n=2, seed=3)
    ranking = replace(OPENED, model=MODEL.model_copy(update={"solver": "top_anchors"}))
    response = answered(request, ranking)
    assert [[item.id for item in direction.items] for direction in response.directions] == [
        ["item-5", "item-1"],
        ["item-3", "item-1"],
    ]


def test_items_left_out_make_room_for_the_next() -> None:
    scores_Ln, rows_Ln = leave_out(SCORES_LK, ROWS_LK, [5, 3], 1)
    assert rows_Ln.tolist() == [[1], [2], [1], [4]]
    assert scores_Ln[:, 0].tolist() == pytest.approx([0.30, 0.50, 0.40, 0.85])
    scores_Ln, rows_Ln = leave_out(SCORES_LK, ROWS_LK, [3, 4], 2)
    assert rows_Ln.tolist() == [[5, 1], [5, 2], [1, -1], [-1, -1]]
    assert scores_Ln[2].tolist() == pytest.approx([0.40, -np.inf])


def test_an_avoided_item_is_in_no_direction_and_words_are_no_item() -> None:
    request = parse_request(query="dinner", k=3, n=1, avoid=["item-5", "cheese"])
    assert {item.id for item in answered(request, OPENED).items} == {"item-4", "item-3", "item-2"}
    assert generation_request(request, OPENED).avoid == ("text 5", "cheese")


def test_a_direction_is_called_by_the_nearest_sub_query() -> None:
    request = parse_request(query="dinner", k=2, n=2)
    labels = Labels(texts=["soups", "salads"], emb_ND=np.array([[1, 0.0], [0, 1.0]], np.float32))
    response = answered(request, replace(OPENED, labels=labels))
    assert [direction.label for direction in response.directions] == ["soups", "salads"]
    plain = answered(request, OPENED)
    assert [direction.label for direction in plain.directions] == [None, None]


def test_a_direction_that_is_an_item_is_called_by_its_text() -> None:
    labels = Labels(texts=["soups", "salads"], emb_ND=np.array([[1, 0.0], [0, 1.0]], np.float32))
    scores_LK = np.where(SCORES_LK.max() == SCORES_LK, 1.0, SCORES_LK).astype(np.float32)
    request = parse_request(query="dinner", k=2, n=2)
    response = answered(request, replace(OPENED, labels=labels), (scores_LK, ROWS_LK))
    first = response.directions[0]
    assert (first.items[0].score, first.label) == (1.0, first.items[0].text)
    assert response.directions[1].label in labels.texts


@pytest.mark.parametrize("fields", [{"total": 2, "offset": 0}, {"total": 2, "offset": 2}])
def test_the_name_of_a_direction_does_not_depend_on_the_items_that_it_lists(fields: dict[str, Any]) -> None:
    labels = Labels(texts=["soups", "salads"], emb_ND=np.array([[1, 0.0], [0, 1.0]], np.float32))
    # Both kept directions are the embedding of an item. The second page lists neither of the two items.
    scores_LK = np.array([[1.0, 0.3], [1.0, 0.5], [1.0, 0.4], [0.85, 0.75]], np.float32)
    pool = Pool(ids=POOL.ids, texts=["text 0", "text 1", "text 2", "a stew", "text 4", "a soup"])
    ranking = MODEL.model_copy(update={"solver": "top_anchors"})
    opened = replace(OPENED, labels=labels, pool=pool, model=ranking)
    response = answered(parse_request(query="dinner", k=2, **fields), opened, (scores_LK, ROWS_LK))
    assert [direction.label for direction in response.directions] == ["a soup", "a stew"]


def test_a_printed_answer_is_a_small_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    labels = Labels(texts=["[soups]", "salads"], emb_ND=np.array([[1, 0.0], [0, 1.0]], np.float32))
    hits = (np.tile(SCORES_LK, 2), np.tile(ROWS_LK, 2))
    response = answered(parse_request(query="dinner", k=2, n=4), replace(OPENED, labels=labels), hits)
    printed = str(response)
    for shown in ("dinner", "1 [soups]", "2 salads", "text 5 (0.90)", "4 distinct items in 2 directions, task oar"):
        assert shown in printed
    assert (printed.count("text"), response.table().count("text"), response.table(1).count("text")) == (6, 8, 2)


def test_k_above_the_rows_generated_is_refused() -> None:
    check_k(4, 4)
    with pytest.raises(RequestError, match="k: got 5; expected 1 to 4"):
        check_k(5, 4)
