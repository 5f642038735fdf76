"""The metrics of train-diffusion: one row for each logged step of a task in metrics.parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

METRICS = "metrics.parquet"
SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("step", pa.int64()),
        ("loss", pa.float32()),
        ("val_loss", pa.float32()),
        ("learning_rate", pa.float32()),
        ("samples_per_s", pa.float32()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class TrainingMetrics:
    """Metrics of the steps since the row before.

    Attributes:
        task: Whose retriever is trained.
        step: Updates so far.
        loss: Mean of the training loss.
        val_loss: Loss of the averaged weights on the validation pairs; None where the step was not validated.
        learning_rate: Of the last update.
        samples_per_s: Pairs of all workers.
    """

    task: str
    step: int
    loss: float
    val_loss: float | None
    learning_rate: float
    samples_per_s: float


def read_metrics(folder: Path) -> list[TrainingMetrics]:
    """The rows that ``write_metrics`` wrote."""
    return [TrainingMetrics(**row) for row in pq.read_table(folder / METRICS).to_pylist()]


def write_metrics(rows: Sequence[TrainingMetrics], folder: Path) -> None:
    """Write ``metrics.parquet`` into a folder that its caller publishes as a whole."""
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA), folder / METRICS)
