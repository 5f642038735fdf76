from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r4t_ray.diffusion.training import known
from r4t_ray.diffusion.training.known import known_answers

NUMBERS = {"a": 0, "b": 1, "c": 2, "d": 3}


def write(path: Path, *rows: tuple[str, str, list[float], list[str]]) -> None:
    names = ("query_id", "split", "z_q", "item_ids")
    columns: dict[str, pa.Array] = dict(zip(names, map(pa.array, zip(*rows, strict=True)), strict=True))
    columns["z_q"] = columns["z_q"].cast(pa.list_(pa.float16(), 2))
    pq.write_table(pa.table(columns), path)


def test_the_answers_of_all_pairs_of_a_training_query_are_known(tmp_path: Path) -> None:
    write(tmp_path / "000000.parquet", ("policy", "train", [1, 0], ["a"]))
    assert known_answers(tmp_path, NUMBERS) is None
    write(
        tmp_path / "reference-000001.parquet",
        ("q1", "train", [3, 4], ["c", "a"]),
        ("q1", "train", [3, 4], ["d", "c"]),
        ("q2", "train", [0, 2], ["unknown", "b"]),
        ("q3", "train", [1, 0], ["unknown"]),
        ("val", "val", [1, 0], ["a"]),
    )
    found = known_answers(tmp_path, NUMBERS)
    assert found is not None
    assert found.entries_TR.tolist() == [[2, 0, 3], [1, -1, -1]]
    assert np.allclose(found.keys_TD, [[0.6, 0.8], [0.0, 1.0]])


def test_what_is_too_much_is_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(known, "MOST_KEYS", 1)
    monkeypatch.setattr(known, "MOST_ENTRIES", 2)
    write(
        tmp_path / "reference-000000.parquet",
        ("q1", "train", [1, 0], ["a", "b", "c"]),
        ("q2", "train", [0, 1], ["a"]),
    )
    found = known_answers(tmp_path, NUMBERS)
    assert found is not None
    assert found.entries_TR.tolist() == [[0, 1]]
    assert "1 of 2 queries with relevant entries are remembered" in caplog.text
