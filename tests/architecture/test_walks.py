"""Limits the number of files that the reward of one rollout enters. Loading is not counted."""

from __future__ import annotations

import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_queries
from r4t_ray.folm.policy.prompt import format_answer
from r4t_ray.folm.rollout.task_rewards import TaskRewards, score_texts
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.types import Task
from tests.architecture.walks import walk

MAX_FILES_OF_A_REWARD: dict[Task, int] = {"oar": 11, "wscr": 12}


@pytest.mark.parametrize("task", MAX_FILES_OF_A_REWARD)
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_reward_of_a_rollout(indexed_workspace: Workspace, task: Task, share: float) -> None:
    """From the text of a completion to its reward: parse, embed, search, score."""
    own_sets_only = {"reward": {"wscr": {"expected_share": share}}, "grpo": {"wscr": {"num_recombined": 0}}}
    config = FolmConfig.model_validate({"k": 3, "num_hits": 2, **own_sets_only})
    rewards = TaskRewards(indexed_workspace, config)
    query = load_queries(indexed_workspace, task, "train")[0]
    with walk() as files:
        output = score_texts(rewards, [query], [format_answer(["salt", "lentil", "basil"])], config)
    assert output.total_B[0] > 0
    assert "r4t_ray/rewards/rubric.py" in files
    assert len(files) <= MAX_FILES_OF_A_REWARD[task], sorted(files)
