"""Plans, seeds and files of pairs: nothing is repeated, lost or half written, and files are readable without Ray."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r4t_ray.catalogue import Query
from r4t_ray.errors import EngineError
from r4t_ray.pairs.files import (
    Pairs,
    PlannedQuery,
    check_written,
    missing_files,
    pairs_table,
    plan_files,
    query_seed,
    write_file,
)

NUM_ROWS, DIM = 2, 3


def pairs(num_pairs: int) -> Pairs:
    """Pairs whose values are their number i; every second pair has no reward."""
    numbers = np.arange(num_pairs, dtype=np.float32)
    return Pairs(
        query_id=[f"q{i // 2}" for i in range(num_pairs)],
        split=["train"] * num_pairs,
        sample=list(range(num_pairs)),
        weight=[1 + i for i in range(num_pairs)],
        z_q_ND=numbers[:, None] + np.zeros(DIM, np.float32),
        Z_NLD=numbers[:, None, None] + np.arange(NUM_ROWS * DIM, dtype=np.float32).reshape(NUM_ROWS, DIM),
        reward_N=np.where(numbers % 2, np.nan, numbers / 4),
        components={"coverage": np.where(numbers % 2, np.nan, numbers / 4), "vendi": numbers / 8},
        item_ids=[[f"item{i}", "salt"] for i in range(num_pairs)],
        sub_queries=[["red apple", f"{i} pears"] for i in range(num_pairs)],
    )


@given(st.lists(st.integers(1, 3), max_size=30), st.integers(1, 7))
def test_every_query_is_in_one_file_with_its_number_of_samples(nums: list[int], per_file: int) -> None:
    planned = [
        PlannedQuery(Query(query_id=f"q{i}", task="oar", text=f"text {i}", item_ids=(), split="train"), num)
        for i, num in enumerate(nums)
    ]
    files = plan_files("oar", planned, per_file)
    found = {query_id: file["num_samples"] for file in files for query_id in file["query_id"]}
    assert found == {each.query.query_id: each.num_samples for each in planned}
    assert sum(len(file["query_id"]) for file in files) == len(planned)
    assert all(1 <= len(file["query_id"]) == len(file["text"]) == len(file["split"]) <= per_file for file in files)
    assert len({file["file"] for file in files}) == len(files)


def test_a_seed_depends_only_on_the_query_and_the_run() -> None:
    seeds = {query_seed(f"q{i}", seed) for i in range(1000) for seed in (0, 1)}
    assert len(seeds) == 2000
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert query_seed("wscr:1", 7) == int(hashlib.sha256(b"7 wscr:1").hexdigest()[:8], 16) // 2


def test_existing_files_stay_and_half_written_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / "oar").mkdir()
    path = tmp_path / "oar" / "000000.parquet"
    size = write_file(pairs_table(pairs(4)), path)
    before = path.read_bytes()
    assert size == len(before)
    assert write_file(pairs_table(pairs(2)), path) == size
    assert path.read_bytes() == before
    (tmp_path / "oar" / "000001.parquet.0a1b2c3d.partial").write_bytes(b"PAR1")
    files = [{"file": f"oar/00000{number}.parquet"} for number in range(2)]
    assert missing_files(files, tmp_path) == files[1:]
    assert [each.name for each in (tmp_path / "oar").iterdir()] == ["000000.parquet"]


def test_a_writer_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(table: object, path: Path, compression: str) -> None:
        path.write_bytes(b"PAR1")
        raise OSError("disk full")

    monkeypatch.setattr("r4t_ray.pairs.files.pq.write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        write_file(pairs_table(pairs(1)), tmp_path / "000000.parquet")
    assert missing_files([{"file": "000000.parquet"}], tmp_path) == [{"file": "000000.parquet"}]
    assert not list(tmp_path.iterdir())


def test_a_task_without_a_pair_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "wscr").mkdir()
    write_file(pairs_table(pairs(0)), tmp_path / "wscr" / "000000.parquet")
    with pytest.raises(EngineError, match=r"pairs/wscr.*no fan-out that could be parsed"):
        check_written(tmp_path / "wscr")
    write_file(pairs_table(pairs(3)), tmp_path / "wscr" / "000001.parquet")
    assert check_written(tmp_path / "wscr") == 3


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    for number in range(2):
        write_file(pairs_table(pairs(4)), folder / f"{number:06d}.parquet")
    return folder


def test_pyarrow_reads_fixed_size_lists_of_float16_and_nulls(written: Path) -> None:
    import pyarrow as pa
    import pyarrow.dataset as pads

    table = pads.dataset(written, format="parquet").to_table()
    assert table.schema.field("z_q").type == pa.list_(pa.float16(), DIM)
    assert table.schema.field("Z").type == pa.list_(pa.float16(), NUM_ROWS * DIM)
    assert table["Z"][3].as_py() == [3, 4, 5, 6, 7, 8]
    assert table["reward"].to_pylist() == [0, None, 0.5, None] * 2
    assert table["components"][1].as_py() == {"coverage": None, "vendi": 0.125}
    assert table["weight"].to_pylist() == [1, 2, 3, 4] * 2


def test_pandas_reads_them(written: Path) -> None:
    import pandas as pd

    frame = pd.read_parquet(written)
    assert len(frame) == 8
    assert frame["Z"][2].dtype == np.float16
    assert frame["Z"][2].tolist() == [2, 3, 4, 5, 6, 7]
    assert frame["sub_queries"][1].tolist() == ["red apple", "1 pears"]
    assert frame["reward"].isna().sum() == 4


def test_duckdb_reads_them(written: Path) -> None:
    import duckdb

    found = duckdb.sql(
        f"""select query_id, sum(weight), max(components.vendi), max(Z[6]), count(reward)
        from '{written}/*.parquet' group by query_id order by query_id"""
    ).fetchall()
    assert found == [("q0", 6, 0.125, 6.0, 2), ("q1", 14, 0.375, 8.0, 2)]


def test_hugging_face_datasets_reads_them(written: Path, tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(
        "parquet", data_files=str(written / "*.parquet"), split="train", cache_dir=str(tmp_path)
    )
    assert len(loaded) == 8
    assert loaded[3]["Z"] == [3, 4, 5, 6, 7, 8]
    assert loaded[0]["components"] == {"coverage": 0.0, "vendi": 0.0}
