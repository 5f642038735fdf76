"""The run log: rows of this start and of earlier starts, the metrics of an update, the pace."""

from __future__ import annotations

from pathlib import Path

from r4t_ray.folm.learner.run_log import RunLog
from tests.folm.learner.steps import step_of


def log_of(folder: Path) -> RunLog:
    return RunLog(folder=folder, num_steps=3, num_workers=1, starts=2)


def test_a_log_resumes_from_the_rows_of_a_checkpoint(tmp_path: Path) -> None:
    first = log_of(tmp_path)
    first.add([step_of(0)])
    first.add_update({"loss": 0.25, "grad_norm": 1.0})
    first.add_update({"loss": 0.125})
    first.write(tmp_path / "rows.parquet")
    second = log_of(tmp_path)
    second.resume(tmp_path / "rows.parquet")
    assert second.rows == first.rows
    assert second.rows[0].update == {"loss": 0.125, "grad_norm": 1.0}
    assert second.rows_of_this_start == []
    second.add([step_of(1)])
    assert [row.step for row in second.rows_of_this_start] == [1]
    assert [row.step for row in second.rows] == [0, 1]


def test_laps_add_up_to_the_seconds_since_the_start(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    laps = [log.lap() for _ in range(3)]
    assert min(laps) >= 0
    assert 0 <= log.seconds - sum(laps) < 0.5
