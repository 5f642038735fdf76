"""Labels of directions: the most frequent sub-queries of all files, with their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.pairs.labels import write_labels


class Lengths:
    """An encoder that maps a text to a point of the unit circle by its length."""

    dim = 2

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        angles = np.array([len(text) for text in texts], np.float32)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_the_commonest_sub_queries_are_kept_with_their_counts(tmp_path: Path) -> None:
    for name, rows in (("0", [["soup", "pie"], ["soup"]]), ("1", [["bread", "soup"], ["pie", "stew"]])):
        table = pa.table({"sub_queries": pa.array(rows, pa.list_(pa.string()))})
        (tmp_path / "oar").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "oar" / f"{name}.parquet")
    path = tmp_path / "labels" / "oar.parquet"
    assert write_labels(tmp_path / "oar", path, Lengths(), most=3) == 3
    table = pq.read_table(path)
    assert table["text"].to_pylist() == ["soup", "pie", "bread"]
    assert table["count"].to_pylist() == [3, 2, 1]
    assert np.allclose(np.stack(table["emb"].to_numpy()), Lengths().encode(["soup", "pie", "bread"]), atol=1e-3)
