"""Labels of directions: the most frequent sub-queries of the pairs, with their embeddings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from r4t_ray.encoders import Encoder


def write_labels(pairs: Path, path: Path, encoder: Encoder, most: int) -> int:
    """Write the most frequent sub-queries of a task's pairs: ``text``, ``count``, and ``emb``, unit rows in float16.

    Args:
        pairs: Folder of the task's parquet files.
        path: The file to write.
        encoder: The encoder of the catalogue.
        most: Most sub-queries to write. Among equally frequent ones the first that is read comes first.

    Returns:
        The number written.
    """
    counts: Counter[str] = Counter()
    for file in sorted(pairs.glob("*.parquet")):
        found = pc.value_counts(pq.read_table(file, columns=["sub_queries"])["sub_queries"].combine_chunks().flatten())
        counts.update(dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)))
    texts, numbers = zip(*counts.most_common(most), strict=True)
    emb_ND = encoder.encode(texts).astype(np.float16)
    emb = pa.FixedSizeListArray.from_arrays(pa.array(emb_ND.ravel()), emb_ND.shape[1])
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"text": pa.array(texts), "count": pa.array(numbers, pa.int64()), "emb": emb}), path)
    return len(texts)
