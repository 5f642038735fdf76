"""Selection and merging, checked with numbers computed by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from r4t_ray.diffusion import SolverName
from r4t_ray.errors import RequestError
from r4t_ray.index.shard import leave_out
from r4t_ray.retrieval.compose import compose, merge_directions, select_directions
from r4t_ray.retrieval.open_task import Labels, OpenTask, Pool
from r4t_ray.retrieval.request import check_k, generation_request, parse_request, search_for
from r4t_ray.retrieval.response import ModelInfo

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


def test_merged_items_keep_the_best_score_and_every_direction_that_found_them() -> None:
    merged = merge_directions(SCORES_LK[[1, 2, 3]], ROWS_LK[[1, 2, 3]])
    assert [(row, round(score, 2), found_by) for row, score, found_by in merged] == [
        (5, 0.90, [0]),
        (4, 0.85, [2]),
        (3, 0.75, [1, 2]),
        (2, 0.50, [0]),
        (1, 0.40, [1]),
    ]


def test_the_best_score_stays_whichever_direction_comes_first() -> None:
    for order in ([2, 3], [3, 2]):
        merged = merge_directions(SCORES_LK[order], ROWS_LK[order])
        assert [round(score, 2) for row, score, _ in merged if row == 3] == [0.75]


def test_ties_go_to_the_lower_row_and_absent_hits_are_left_out() -> None:
    scores_kK = np.array([[0.5, 0.5, -np.inf]], np.float32)
    merged = merge_directions(scores_kK, np.array([[4, 2, -1]], np.int64))
    assert [row for row, _, _ in merged] == [2, 4]


def test_compose_writes_directions_and_their_union() -> None:
    request = parse_request(query="dinner", k=2, n=2, seed=3)
    answer = compose(request, OPENED, Z_LD, (SCORES_LK, ROWS_LK))
    assert [[item.id for item in direction.items] for direction in answer.directions] == [
        ["item-5", "item-2"],
        ["item-3", "item-1"],
    ]
    assert [direction.index for direction in answer.directions] == [0, 1]
    assert [item.id for item in answer.items] == ["item-5", "item-3", "item-2", "item-1"]
    assert answer.items[0].text == "text 5"
    assert (answer.task, answer.query, answer.seed) == ("oar", "dinner", 3)


def test_compose_keeps_the_order_of_a_ranking_solver() -> None:
    request = parse_request(query="dinner", k=2, n=2, seed=3)
    ranking = replace(OPENED, model=MODEL.model_copy(update={"solver": "top_anchors"}))
    answer = compose(request, ranking, Z_LD, (SCORES_LK, ROWS_LK))
    assert [[item.id for item in direction.items] for direction in answer.directions] == [
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
    search = search_for(request, OPENED, Z_LD)
    assert (search.num_hits, search.exclude) == (1, (5,))
    answer = compose(request, OPENED, Z_LD, leave_out(SCORES_LK, ROWS_LK, search.exclude, search.num_hits))
    assert {item.id for item in answer.items} == {"item-4", "item-3", "item-2"}
    assert generation_request(request, OPENED).avoid == ("text 5", "cheese")


def test_a_direction_is_called_by_the_nearest_sub_query() -> None:
    request = parse_request(query="dinner", k=2, n=2)
    labels = Labels(texts=["soups", "salads"], emb_ND=np.array([[1, 0.0], [0, 1.0]], np.float32))
    answer = compose(request, replace(OPENED, labels=labels), Z_LD, (SCORES_LK, ROWS_LK))
    assert [direction.label for direction in answer.directions] == ["soups", "salads"]
    plain = compose(request, OPENED, Z_LD, (SCORES_LK, ROWS_LK))
    assert [direction.label for direction in plain.directions] == [None, None]


def test_a_printed_answer_is_a_small_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    labels = Labels(texts=["[soups]", "salads"], emb_ND=np.array([[1, 0.0], [0, 1.0]], np.float32))
    hits = (np.tile(SCORES_LK, 2), np.tile(ROWS_LK, 2))
    answer = compose(parse_request(query="dinner", k=2, n=4), replace(OPENED, labels=labels), Z_LD, hits)
    printed = str(answer)
    for shown in ("dinner", "1 [soups]", "2 salads", "text 5 (0.90)", "4 distinct items in 2 directions, task oar"):
        assert shown in printed
    assert (printed.count("text"), answer.table().count("text"), answer.table(1).count("text")) == (6, 8, 2)


def test_k_above_the_rows_generated_is_refused() -> None:
    check_k(4, 4)
    with pytest.raises(RequestError, match="k: got 5; expected 1 to 4"):
        check_k(5, 4)
