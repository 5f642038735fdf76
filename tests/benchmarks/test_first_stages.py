"""The benchmark of the first stages: its catalogue, its stand-in for a model, its sampling of processes, its table."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.first_stages import WIDTH, write_stand_in
from benchmarks.harness import Result
from benchmarks.products import ITEMS_OF_A_SET, write_products
from benchmarks.tables.speed import first_stages_table
from benchmarks.usage import run_watched
from r4t_ray.catalogue import SetsConfig
from r4t_ray.encoders import EncoderConfig


def test_products_are_a_catalogue_with_popular_items(tmp_path: Path) -> None:
    items, sets = write_products(tmp_path, 1_000)
    catalogue = SetsConfig(items=items, sets=sets).read()
    assert (len(catalogue.items), len(catalogue.sets)) == (1_000, 200)
    assert len({item.text for item in catalogue.items}) == 1_000
    assert {len(row.item_ids) for row in catalogue.sets} == {ITEMS_OF_A_SET}
    counts = Counter(item_id for row in catalogue.sets for item_id in row.item_ids)
    assert sum(counts[f"p{row}"] for row in range(10)) > 5 * sum(counts[f"p{row}"] for row in range(500, 510))
    before = items.read_bytes()
    write_products(tmp_path, 1_000)
    assert items.read_bytes() == before


def test_the_stand_in_is_a_model_that_the_settings_can_name(tmp_path: Path) -> None:
    encoder = EncoderConfig(model=str(write_stand_in(tmp_path / "model"))).build()
    emb_ND = encoder.encode(["red lamp", "lamp red", "blue chair"])
    assert emb_ND.shape == (3, WIDTH)
    assert np.abs(emb_ND[0] - emb_ND[1]).max() < 1e-6
    assert emb_ND[0] @ emb_ND[2] < 0.9


def test_a_command_is_measured_with_its_children(tmp_path: Path) -> None:
    child = "import time; held = bytearray(60 * 2**20); time.sleep(1)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    footprint = run_watched([sys.executable, "-c", code], every_s=0.1)
    assert footprint.peak_bytes > 60 * 2**20
    assert footprint.seconds > 1
    assert 0 < footprint.cpu_s < footprint.seconds
    with pytest.raises(subprocess.CalledProcessError):
        run_watched([sys.executable, "-c", "raise SystemExit(3)"], every_s=0.05)


def test_the_table_has_rates_and_the_memory_of_a_further_row() -> None:
    def row(stage: str, size: int, peak: int) -> dict[str, object]:
        figures = {"seconds": size / 100, "cpu_s": size / 200, "peak_bytes": peak, "bytes": 10 * size}
        return {"stage": stage, "encoder": "stand-in", "size": size, "rows": 2 * size, **figures}

    rows = [row("embed", 1_000, 2**30), row("ingest", 2_000, 2**30), row("ingest", 1_000, 2**30 - 800_000)]
    table = first_stages_table(Result(benchmark="first_stages", rows=rows))
    assert [line[:3] for line in table.rows] == [
        ("ingest", "1,000", "2,000"), ("ingest", "2,000", "4,000"), ("embed, stand-in", "1,000", "2,000"),
    ]  # fmt: skip
    assert table.rows[1][3:] == ("20", "200", "400", "1.00", "400", "0")
    assert table.rows[0][7] == table.rows[2][7] == "-"
