"""The benchmark of search: its rows beyond the catalogue, its recall, packages that are missing, and its table."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from benchmarks import search
from benchmarks.harness import Result
from benchmarks.search import SearchSettings, grown, measured
from benchmarks.search_peers import Engine, hnswlib_graph, own_type
from benchmarks.tables.search import search_table


def unit_rows(seed: int, num: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((num, 16), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_rows_beyond_the_pool_are_its_rows_with_noise() -> None:
    pool_MD = unit_rows(0, 50)
    assert np.array_equal(grown(pool_MD, 20, 0.5, 0), pool_MD[:20])
    emb_MD = grown(pool_MD, 400, 0.1, 0)
    assert np.array_equal(emb_MD[:50], pool_MD)
    assert np.abs(np.linalg.norm(emb_MD, axis=1) - 1).max() < 1e-6
    nearest_M = (emb_MD[50:] @ pool_MD.T).max(axis=1)
    assert nearest_M.mean() == pytest.approx(1 - 0.1**2 / 2, abs=2e-3)


def test_points_are_tried_until_one_finds_enough() -> None:
    """An engine that finds as many of the ten true rows as its point says."""
    true_NK = np.tile(np.arange(10), (20, 1))

    @contextmanager
    def toy(emb_MD: np.ndarray):  # type: ignore[no-untyped-def]
        points = tuple({"found": found} for found in (3, 2, 9, 10))
        yield Engine(
            points=points,
            search=lambda z_LD, point: np.tile(
                np.where(np.arange(10) < point["found"], np.arange(10), 99), (len(z_LD), 1)
            ),
            num_bytes=2**21,
        )

    settings = SearchSettings(workspace=Path("unused"), target=0.9)
    rows = measured(("toy", toy), unit_rows(1, 7), unit_rows(2, 20), true_NK, settings)
    assert [(row["point"]["found"], row["recall"]) for row in rows] == [(3, 0.3), (9, 0.9)]
    assert {(row["rows"], row["bytes"]) for row in rows} == {(7, 2**21)}
    (line,) = search_table(Result(benchmark="search", rows=rows)).rows
    assert (line[0], line[1], line[2], line[5]) == ("7 rows, toy", "found 9", "0.9000", "2.0")


def test_an_own_type_finds_what_a_product_of_matrices_finds() -> None:
    emb_MD, z_LD = unit_rows(3, 200), unit_rows(4, 10)
    with own_type("ivf_flat", emb_MD) as engine:
        rows_LK = engine.search(z_LD, engine.points[-1])
    assert np.array_equal(rows_LK, np.argsort(-(z_LD @ emb_MD.T), axis=1)[:, :10])
    assert engine.num_bytes > emb_MD.nbytes


def test_a_missing_package_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "find_spec", lambda _: None)
    settings = SearchSettings(workspace=Path("unused"))
    rows = measured(("hnswlib", hnswlib_graph), unit_rows(5, 3), unit_rows(6, 10), np.zeros((10, 3)), settings)
    assert rows == [{"engine": "hnswlib", "rows": 3, "not_measured": "hnswlib is not installed"}]
    (line,) = search_table(Result(benchmark="search", rows=rows)).rows
    assert line[:2] == ("3 rows, hnswlib", "hnswlib is not installed")
