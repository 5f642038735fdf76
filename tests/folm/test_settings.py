"""Settings of train-folm that are refused before anything is loaded."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from r4t_ray.folm.learner.settings import SoftGRPOConfig
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.rewards import OARConfig


def test_batches_that_do_not_divide_into_workers_or_micro_batches_are_refused() -> None:
    grpo = SoftGRPOConfig(queries_per_step=20, num_generations=8, micro_batch_size=64)
    with pytest.raises(ValidationError, match=r"samples of a step \(160 .* multiple of micro_batch_size \(64\)"):
        FolmConfig(grpo={"wscr": grpo})
    with pytest.raises(ValidationError, match=r"queries_per_step \(20\) must be a multiple of learner.num \(3\)"):
        FolmConfig(
            grpo={"wscr": grpo.model_copy(update={"micro_batch_size": 160})}, tasks=("wscr",), learner={"num": 3}
        )
    # A micro-batch size above the batch size means one micro-batch.
    FolmConfig(grpo={"wscr": grpo.model_copy(update={"micro_batch_size": 512})})


def test_invalid_regular_expressions_and_rates_are_refused() -> None:
    with pytest.raises(ValidationError, match="not a valid regular expression"):
        SoftGRPOConfig(learning_rate={"(": 0.1})
    with pytest.raises(ValidationError, match="no rate"):
        SoftGRPOConfig(learning_rate={})
    with pytest.raises(ValidationError, match="greater than 0"):
        SoftGRPOConfig(learning_rate={"norm": 0.0})
    config = SoftGRPOConfig(learning_rate={r"^model\.norm": 0.1})
    assert SoftGRPOConfig.model_validate_json(config.model_dump_json()) == config
    assert SoftGRPOConfig.model_validate(config.model_dump()) == config


def test_the_oar_reward_is_about_the_query_and_older_workspaces_keep_the_weights_of_eq_1() -> None:
    assert FolmConfig().reward.oar.type == "specific"
    recorded = {"reward": {"oar": {"w_ground": 0.5, "w_div": 0.3, "w_align": 0.2}}}
    assert FolmConfig.model_validate(recorded).reward.oar == OARConfig(w_ground=0.5, w_div=0.3, w_align=0.2)
    with pytest.raises(ValidationError, match="w_ground"):
        FolmConfig.model_validate({"reward": {"oar": {"type": "specific", "w_ground": 0.5}}})
