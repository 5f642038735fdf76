"""A run that ends no better than plain search or than chance says so."""

from __future__ import annotations

from pathlib import Path

from r4t_ray.artifacts import Workspace
from r4t_ray.folm.learner.status import OUTCOME, read_outcome
from r4t_ray.folm.outcome import outcome_line, reward_of_entries
from r4t_ray.folm.rollout.task_rewards import TaskRewards
from r4t_ray.folm.settings import FolmConfig


def test_the_line_names_the_best_yardstick_that_was_not_beaten() -> None:
    yardsticks = {"the nearest entries (no fan-out)": 0.3, "random entries": 0.1}
    assert outcome_line("wscr", 0.31, yardsticks) == ""
    line = outcome_line("wscr", 0.3, yardsticks)
    assert line.startswith(
        "wscr: train-folm ended at reward 0.300, no better than the nearest entries (no fan-out) (0.300); "
    )
    assert "pairs.reference_share.wscr: 1" in line
    assert "pairs.policy.oar: greedy" in outcome_line("oar", 0.05, yardsticks)


def test_the_nearest_entries_score_better_than_random_ones(indexed_workspace: Workspace) -> None:
    config = FolmConfig(k=3, num_hits=2)
    rewards = TaskRewards(indexed_workspace, config)
    for task in config.tasks:
        found = list(reward_of_entries(rewards, indexed_workspace, task, 3, seed=0).values())
        assert found[0] > found[1]


def test_status_reads_the_lines_of_a_finished_run(tmp_path: Path) -> None:
    assert read_outcome(tmp_path) == ""
    (tmp_path / "folm").mkdir()
    (tmp_path / "folm" / OUTCOME).write_text("wscr: no better\n", encoding="utf-8")
    assert read_outcome(tmp_path) == "wscr: no better\n"
