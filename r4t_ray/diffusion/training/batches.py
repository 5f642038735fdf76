"""Pairs (z_q, Z) on disk, and batches of pairs held in memory; ``stream`` makes the batches that Ray Data reads."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import torch
from ray.data.collate_fn import ArrowBatchCollateFn
from torch import Tensor

from r4t_ray.diffusion.settings import NetworkConfig
from r4t_ray.errors import DataError, MissingArtifactError

COLUMNS = ["z_q", "Z", "weight"]
RERUN = "run `r4t synthesize-pairs CONFIG --workspace DIR`"


class PairFolder(NamedTuple):
    """One task's pairs on disk.

    Attributes:
        train: Path -> number of training pairs, for each file that has any, in the files' order.
        val: Number of validation pairs in all files.
        num_rows: L, rows of a target.
        dim: d, width of the embeddings.
    """

    train: dict[str, int]
    val: int
    num_rows: int
    dim: int


def inspect_pairs(folder: Path) -> PairFolder:
    """Count the pairs of one task's folder and read their shape from its columns.

    Raises:
        MissingArtifactError: The folder holds no parquet file.
        DataError: A column is missing, z_q or Z is not a fixed-size list, or Z is not a whole number of rows.
    """
    if not any(folder.glob("*.parquet")):
        raise MissingArtifactError(str(folder), "no parquet file", "pairs of this task", RERUN)
    pairs = pads.dataset(folder, format="parquet")
    missing = [name for name in ("split", *COLUMNS) if name not in pairs.schema.names]
    if missing:
        raise DataError(str(folder), f"columns {pairs.schema.names}", f"also {missing}", RERUN)
    kinds = {name: pairs.schema.field(name).type for name in ("z_q", "Z")}
    for name, kind in kinds.items():
        if not pa.types.is_fixed_size_list(kind):
            raise DataError(f"{folder}: column {name!r}", str(kind), "a fixed-size list of floats", RERUN)
    dim, num_values = kinds["z_q"].list_size, kinds["Z"].list_size
    if num_values % dim:
        raise DataError(f"{folder}: column 'Z'", f"{num_values} floats", f"a multiple of the {dim} of z_q", RERUN)
    files = sorted(pairs.get_fragments(), key=lambda file: file.path)
    train = {file.path: file.count_rows(filter=pads.field("split") == "train") for file in files}
    num_val = pairs.count_rows(filter=pads.field("split") == "val")
    used = {path: count for path, count in train.items() if count}
    return PairFolder(train=used, val=num_val, num_rows=num_values // dim, dim=dim)


def mean_weight(folder: Path) -> float:
    """Mean weight of one task's training pairs; the folder holds at least one."""
    weights = pads.dataset(folder, format="parquet").to_table(["weight"], filter=pads.field("split") == "train")
    return float(pc.mean(weights["weight"]).as_py())


class PairCollate(ArrowBatchCollateFn):
    """Arrow batch -> {"z_q": (B, D), "Z": (B, L, D), "weight": (B,)}, float32; weights divided by ``mean_weight``."""

    def __init__(self, shape: NetworkConfig, mean_weight: float) -> None:
        super().__init__()
        self.shape, self.mean_weight = shape, mean_weight

    def __call__(self, batch: pa.Table) -> dict[str, Tensor]:  # type: ignore[override]  # ray's CollatedData is a TypeVar
        """Convert one batch."""
        return {
            "z_q": _column(batch, "z_q", (self.shape.dim,)),
            "Z": _column(batch, "Z", (self.shape.num_rows, self.shape.dim)),
            "weight": torch.from_numpy(batch["weight"].to_numpy().astype(np.float32)) / self.mean_weight,
        }


def _column(batch: pa.Table, name: str, shape: tuple[int, ...]) -> Tensor:
    lists = batch.column(name)
    values = np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in lists.chunks])
    return torch.from_numpy(values.astype(np.float32)).reshape(len(batch), *shape)


def cached_batches(
    pairs: dict[str, Tensor], batch_size: int, seed: int, num_used: int = 0
) -> Generator[dict[str, Tensor], None, None]:
    """Full batches of pairs in memory, epoch after epoch; each epoch shuffles all pairs.

    The order of an epoch depends on its number and the seed alone, so the first ``num_used`` batches are skipped
    without being read.
    """
    num_pairs = len(pairs["z_q"])
    num_batches = num_pairs // batch_size
    epoch, first = divmod(num_used, num_batches)
    while True:
        order_N = torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(num_pairs))
        for rows_B in order_N.split(batch_size)[first:num_batches]:
            yield {name: values[rows_B] for name, values in pairs.items()}
        epoch, first = epoch + 1, 0


def load_pairs(
    folder: Path, split: str, collate: PairCollate, num_rows: int | None = None, part: tuple[int, int] = (0, 1)
) -> dict[str, Tensor]:
    """Pairs of one split in memory, as ``collate`` gives them, in the files' order.

    Args:
        folder: One task's parquet files.
        split: train or val; it has at least one pair.
        collate: Conversion of a batch, for the network's shape.
        num_rows: Number of pairs, starting with the first. Default: all.
        part: (i, n) takes every n-th pair, starting with pair i.
    """
    scanner = pads.dataset(folder, format="parquet").scanner(COLUMNS, filter=pads.field("split") == split)
    parts, offset = [], 0
    for batch in scanner.to_batches() if num_rows is None else scanner.head(num_rows).to_batches():
        rows = np.arange((part[0] - offset) % part[1], len(batch), part[1])
        offset += len(batch)
        if len(rows):
            parts.append(collate(pa.Table.from_batches([batch]).take(rows)))
    return {name: torch.cat([each[name] for each in parts]) for name in parts[0]}


def permute_rows(z_BLD: Tensor, generator: torch.Generator) -> Tensor:
    """Shuffle the rows of each Z separately (arXiv 2603.06397, sec. 2.4)."""
    order_BL = torch.rand(z_BLD.shape[:2], generator=generator, device=z_BLD.device).argsort(dim=1)
    return z_BLD.gather(1, order_BL[:, :, None].expand_as(z_BLD))
