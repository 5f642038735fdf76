"""The rows of metrics.parquet, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from r4t_ray.folm.learner.metrics import StepMetrics, read_metrics, step_metrics, write_metrics
from r4t_ray.folm.policy.engines.interface import Completion
from r4t_ray.folm.rollout.request import Rollout, RolloutStats, mean_stats
from r4t_ray.types import Task

NAN = math.nan


def rollout(query_id: str, reward: float, task: Task = "wscr", **components: float) -> Rollout:
    return Rollout(
        query_id=query_id,
        task=task,
        prompt_ids=(1,),
        completion=Completion(text="", token_ids=(1, 2), logprobs=(-1.0, -1.0)),
        reward=reward,
        components=components,
        weights="weights/step-00000007",
    )


def stats(load: float, restarted: float) -> RolloutStats:
    return RolloutStats(seconds={"load": load, "generate": 3.0, "score": 1.0}, restarted=restarted, cache_hit_rate=0.5)


def rows_of(rollouts: list[Rollout]) -> list[StepMetrics]:
    both = mean_stats([stats(1.0, 0.0), stats(2.0, 1.0)])
    return step_metrics(4, rollouts, both, seconds={"step": 9.0, "publish": 0.5}, staleness=1, start=2)


ROLLOUTS = [
    rollout("a", 1.0, coverage=0.0, judge=1.0),
    rollout("a", 3.0, coverage=1.0, judge=2.0),
    rollout("b", NAN, coverage=NAN, judge=NAN),
    rollout("b", 5.0, coverage=NAN, judge=4.0),
    rollout("c", 0.5, task="oar", vendi=0.25),
]


def test_means_spreads_and_faults_by_hand() -> None:
    oar, wscr = rows_of(ROLLOUTS)
    assert (oar.task, oar.reward, oar.reward_std, dict(oar.components)) == ("oar", 0.5, 0.0, {"vendi": 0.25})
    assert (wscr.step, wscr.num_rollouts, wscr.weights, wscr.start) == (4, 4, "step-00000007", 2)
    assert (wscr.reward, wscr.reward_std, wscr.mean_tokens, wscr.staleness) == (3.0, 0.5, 2.0, 1.0)
    assert wscr.components == pytest.approx({"coverage": 0.5, "judge": 7 / 3})
    assert wscr.component_std == pytest.approx({"coverage": 0.5, "judge": 0.25})
    assert wscr.faults == {"dropped": 1, "degenerate_groups": 1, "restarted": 0.5}
    assert wscr.curves()["fault/dropped"] == 1.0
    assert not {"task", "weights", "step", "start"} & wscr.curves().keys()
    assert wscr.seconds == {"load": 1.5, "generate": 3.0, "score": 1.0, "step": 9.0, "publish": 0.5}


def test_rows_are_read_as_written_and_columns_have_the_prefix_of_their_field(tmp_path: Path) -> None:
    rows = rows_of(ROLLOUTS)
    rows[1] = replace(rows[1], update={"loss": 0.25})
    write_metrics(rows, tmp_path / "metrics.parquet")
    assert read_metrics(tmp_path / "metrics.parquet") == rows
    columns = pq.read_table(tmp_path / "metrics.parquet").to_pydict()
    assert columns["component/coverage"] == [None, 0.5]
    assert columns["std/vendi"] == [0.0, None]
    assert columns["seconds/step"] == [9.0, 9.0]
    assert columns["fault/dropped"] == [0, 1]
    assert columns["update/loss"] == [None, 0.25]
    assert columns["reward"] == [0.5, 3.0]
