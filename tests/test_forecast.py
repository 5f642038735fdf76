"""The dry run of the pipeline: work by hand, the measured run of the cookbook, your own files; it writes nothing."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from r4t_ray.catalogue.records import count_records
from r4t_ray.cli.group import app
from r4t_ray.config import parse_settings
from r4t_ray.errors import DataError
from r4t_ray.experiment import Experiment
from r4t_ray.forecast import Forecast, forecast, in_words
from r4t_ray.forecast.estimate import Size
from r4t_ray.pipeline import load_experiment

ROOT = Path(__file__).parents[1]


def of_stage(forecasts: list[Forecast], name: str) -> Forecast:
    return next(one for one in forecasts if one.stage == name)


def test_the_cookbook_takes_as_long_as_its_measured_run() -> None:
    forecasts = forecast(load_experiment(ROOT / "jobs/configs/cookbook-results.yaml"))
    seconds = [one.seconds for one in forecasts if one.seconds is not None]
    assert len(seconds) == len(forecasts) == 8
    assert abs(sum(seconds) / 60 - 30) < 3  # docs/results.md: 29 minutes, and one for the first three stages
    # 20 + 60 steps of 20 queries with 8 samples; 4 passes over 0.8 x 0.27 x 3,129 themes, and 40,000 recombined.
    assert of_stage(forecasts, "train-folm").work == "42,704 examples, 12,800 samples"
    assert of_stage(forecasts, "embed").disk == 11_021 * 4 * (128 + 384)


def test_expansions_are_embedded_too() -> None:
    demo = forecast(load_experiment(ROOT / "jobs/configs/cookbook.yaml"))
    assert of_stage(demo, "embed").work == f"{11_021 + 12_516:,} texts"  # 3,129 dishes with four wishes each


def test_without_a_language_model_only_pairs_are_made() -> None:
    forecasts = forecast(parse_settings(Experiment, {"catalogue": {"type": "cookbook"}, "preset": "fast"}, "here"))
    assert of_stage(forecasts, "train-folm").work == "0 examples, 0 samples"
    assert (of_stage(forecasts, "train-folm").seconds, of_stage(forecasts, "train-folm").disk) == (0, 0)
    small = forecast(parse_settings(Experiment, {"catalogue": {"type": "cookbook"}}, "here"))
    assert (of_stage(forecasts, "evaluate").seconds or 0) < (of_stage(small, "evaluate").seconds or 0)
    # 2 samples of 760 themes, 2,000 recombined, and one pair of each of 2,197 dishes of training and validation.
    assert of_stage(forecasts, "synthesize-pairs").work == f"{2 * 760 + 2000 + 2197:,} fan-outs"


def test_a_language_model_that_scores_answers_is_counted() -> None:
    forecasts = forecast(load_experiment(ROOT / "jobs/configs/cookbook-back-translation.yaml"))
    # 10 steps of 5 queries, 760 training and validation themes, 84 held-out themes; each has 8 random sets.
    calls = [10 * 5 * (8 + 8), 760 * (8 + 8), 84 * (9 + 8)]
    for name, num in zip(("train-folm", "synthesize-pairs", "evaluate"), calls, strict=True):
        forecasted = of_stage(forecasts, name)
        assert forecasted.work.endswith(f", {num:,} model calls")
        assert (forecasted.seconds or 0) > num / 10
    plain = forecast(load_experiment(ROOT / "jobs/configs/cookbook-results.yaml"))
    assert not [one for one in plain if "model calls" in one.work]


def test_records_of_every_form_are_counted(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    pq.write_table(pa.table({"item_id": ["a", "b"]}), tmp_path / "parts/0.parquet")
    pq.write_table(pa.table({"item_id": ["c"]}), tmp_path / "parts/1.parquet")
    assert count_records(tmp_path / "parts") == (3, sum(f.stat().st_size for f in (tmp_path / "parts").iterdir()))
    (tmp_path / "items.csv.gz").write_bytes(gzip.compress(b"item_id,text\na,x\n\nb,y\n"))
    assert count_records(tmp_path / "items.csv.gz")[0] == 2
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match=r"bad\.parquet"):
        count_records(tmp_path / "bad.parquet")


def test_it_prints_every_stage_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "items.jsonl").write_text('{"item_id": "a"}\n' * 1_000_000)
    (tmp_path / "sets.jsonl").write_text('{"set_id": "s"}\n' * 200_000)
    files = {"type": "sets", "items": str(tmp_path / "items.jsonl"), "sets": str(tmp_path / "sets.jsonl")}
    config = {"catalogue": files, "encoder": {"model": "a/model-of-mine"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = CliRunner().invoke(app, ["pipeline", "mine.yaml", "--dry-run"])
    assert done.exit_code == 0, done.output
    assert sorted(tmp_path.rglob("*")) == before
    lines = done.output.splitlines()
    ingest, embed = (next(line.split() for line in lines if line.startswith(name)) for name in ("ingest", "embed"))
    # 1.2 million records and 1.05 queries for each of 200,000 sets, 20,000 in a second.
    assert ingest[:2] == ["ingest", "1,410,000"]
    assert float(ingest[3]) == pytest.approx(1_410_000 / 20_000 / 60, abs=0.05)
    assert embed[3:5] == ["not", "known"]
    assert "No rate is measured for the model or device of embed" in lines[-1]


def test_the_texts_of_a_catalogue_of_items_are_embedded_once(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"item_id": "a"}\n' * 1_000)
    config = {"catalogue": {"type": "sets", "items": str(tmp_path / "items.jsonl")}, "folm": {"tasks": ["oar"]}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    ingest, embed, build = forecast(load_experiment(tmp_path / "mine.yaml"))[:3]
    num_queries = Size(items=1_000, sets=1_000, num_bytes=0).queries("oar")
    assert num_queries > 0
    assert [each.work.split()[0] for each in (ingest, embed, build)] == [
        f"{num:,}" for num in (2_000 + num_queries, 1_000 + num_queries, 2_000)
    ]


def test_without_a_dry_run_a_workspace_is_required() -> None:
    done = CliRunner().invoke(app, ["pipeline", "mine.yaml"])
    assert done.exit_code == 2
    assert "--workspace" in done.output


def test_the_sums_are_the_longest_memory_and_all_disk() -> None:
    one = Forecast(stage="a", work="1 text", seconds=60.0, memory=2 * 2**30, disk=2**30)
    two = Forecast(stage="b", work="1 text", seconds=120.0, memory=2**30, disk=2**30)
    assert in_words([one, two])[3].split() == ["in", "all", "3.0", "to", "6.9", "2.0", "2.00"]


@pytest.mark.parametrize(("num_items", "on_ray"), [(100_000, False), (300_000, True)])
def test_an_index_whose_shards_are_added_on_ray_is_counted_with_its_start(
    tmp_path: Path, num_items: int, on_ray: bool
) -> None:
    (tmp_path / "items.jsonl").write_text('{"item_id": "a"}\n' * num_items)
    (tmp_path / "sets.jsonl").write_text('{"set_id": "s"}\n' * 1_000)
    files = {"type": "sets", "items": str(tmp_path / "items.jsonl"), "sets": str(tmp_path / "sets.jsonl")}
    found = []
    for num_shards in (1, 2):
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"catalogue": files, "index": {"num_shards": num_shards}}))
        found.append(of_stage(forecast(load_experiment(tmp_path / "mine.yaml")), "build-index"))
    one, two = found
    # 31 s for the start of Ray, its 2.8 GiB, and the rows of 128 float32 numbers that it keeps for its tasks.
    assert (two.seconds or 0) - (one.seconds or 0) == pytest.approx(31 * on_ray)
    assert two.memory - one.memory == pytest.approx((2.8 * 2**30 + (num_items + 1_000) * 512) * on_ray)
    assert (one.work, one.disk) == (two.work, two.disk)
