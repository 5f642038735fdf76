"""Driver, workers and engine are killed, and no pair is lost, repeated or changed."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset as pads
import pytest
import yaml

from r4t_ray.artifacts import Workspace
from r4t_ray.encoders import resolve_model
from r4t_ray.folm.settings import FolmConfig
from tests.processes import kill_driver, last_of, named, running, wait_for

FOLM = FolmConfig.model_validate(
    {
        "k": 5,
        "num_hits": 2,
        "max_completion_tokens": 64,
        "engine": {"type": "vllm", "max_model_len": 192, "max_num_seqs": 32},
    }
)
PAIRS = {
    "policy": {"oar": "folm"},
    "reference_share": {"oar": 0.0, "wscr": 0.0},
    "num_samples": 16,
    "num_recombined": {"oar": 0, "wscr": 0},
    "queries_per_file": 1,
}
# The engine runs inside the process that samples, so the two end together.
ENGINE, WRITER = "ray::MapWorker(Map(SampleSubQueries))", "ray::MapWorker(Map(WritePairs))"
KEPT_SUFFIXES = (".parquet", ".json")
KILLS = ["driver"] * 4 + [ENGINE] * 3 + [WRITER] * 3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


class Run:
    """`synthesize-pairs` on a workspace whose fan-out models are the shipped base model."""

    def __init__(self, repository: Path, source: Workspace, folder: Path) -> None:
        self._repository, self.root, self.log = repository, folder / "workspace", folder / "log.txt"
        shutil.copytree(source.root, self.root)
        Workspace(self.root).build("folm", FOLM, 0, ("catalogue", "encoder", "index"), self._make_models)
        self._config = folder / "config.yaml"
        self._config.write_text(yaml.safe_dump({"pairs": PAIRS, "catalogue": {"type": "cookbook"}}))

    @staticmethod
    def _make_models(folder: Path) -> int:
        for task in FOLM.tasks:
            shutil.copytree(resolve_model(FOLM.base_model), folder / task / "model")
        return 1

    def started(self) -> Any:
        arguments = [str(self._config), "--workspace", str(self.root)]
        return running("synthesize-pairs", arguments, self._repository, self.log)

    def finish(self) -> None:
        with self.started() as driver:
            assert driver.wait(timeout=600) == 0, last_of(self.log)

    def files(self) -> dict[str, str]:
        """sha256 of every complete file."""
        folder = self.root / ("pairs" if (self.root / "pairs").exists() else "pairs.partial")
        found = sorted(folder.rglob("*.parquet"))
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def rows(self) -> dict[tuple[str, int], dict[str, Any]]:
        """(query_id, sample) -> its row; it also checks that no pair repeats."""
        tables = [pads.dataset(self.root / "pairs" / task, format="parquet").to_table() for task in FOLM.tasks]
        rows = [row for table in tables for row in table.to_pylist()]
        assert len({(row["query_id"], row["sample"]) for row in rows}) == len(rows)
        return {(row["query_id"], row["sample"]): row for row in rows}

    def kill(self, driver: psutil.Process, victim: str) -> None:
        """Kill the driver with all below it, or a worker alone, which must be there first."""
        if victim == "driver":
            kill_driver(driver)
        else:
            (worker,) = wait_for(lambda: named(driver, victim), driver, self.log)
            worker.send_signal(signal.SIGKILL)


def assert_same(made: dict[tuple[str, int], dict[str, Any]], whole: dict[tuple[str, int], dict[str, Any]]) -> None:
    """The pairs are equal up to rounding, because the encoder rounds a text differently in another batch.

    Z is float16, and the distance sqrt(2 - 2 cos) in groundedness makes 5e-4 of a cosine's last bit at 1.
    """
    assert made.keys() == whole.keys()
    for key, row in made.items():
        numbers = {"z_q": 1e-3, "Z": 1e-3, "reward": 5e-4, "components": 5e-4}
        for name, tolerance in numbers.items():
            assert row[name] == pytest.approx(whole[key][name], abs=tolerance), (key, name)
        rest = row.keys() - numbers
        assert {name: row[name] for name in rest} == {name: whole[key][name] for name in rest}


def test_ten_kills_lose_and_repeat_no_pair_and_change_no_file(
    repository: Path, indexed_workspace: Workspace, tmp_path: Path
) -> None:
    unbroken = Run(repository, indexed_workspace, tmp_path / "unbroken")
    unbroken.finish()
    run, rng = Run(repository, indexed_workspace, tmp_path / "broken"), random.Random(0)
    left, seen = rng.sample(KILLS, len(KILLS)), {}
    while left:
        with run.started() as driver:
            while left and driver.is_running():
                known = len(seen)
                wait_for(lambda num=known: len(run.files()) > num, driver, run.log)
                time.sleep(rng.uniform(0, 1.5))
                found = run.files()
                assert found.items() >= seen.items()
                seen = found
                victim = left.pop(0)
                run.kill(driver, victim)
                if victim == "driver":
                    break
    assert 10 <= len(seen) < len(unbroken.files())  # every kill came before the end of the run
    run.finish()
    assert run.files().items() >= seen.items()
    assert set(run.files()) == set(unbroken.files())
    assert_same(run.rows(), unbroken.rows())
    assert not [path for path in (run.root / "pairs").rglob("*") if path.is_file() and path.suffix not in KEPT_SUFFIXES]
