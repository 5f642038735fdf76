"""What the settings of train-folm refuse before anything is loaded."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from r4t_ray.folm.learner.settings import SoftGRPOConfig
from r4t_ray.folm.settings import FolmConfig


def test_batches_that_workers_or_micro_batches_cannot_share_are_refused() -> None:
    grpo = SoftGRPOConfig(queries_per_step=20, num_generations=8, micro_batch_size=64)
    with pytest.raises(ValidationError, match=r"samples of a step \(160 .* multiple of micro_batch_size \(64\)"):
        FolmConfig(grpo={"wscr": grpo})
    with pytest.raises(ValidationError, match=r"queries_per_step \(20\) must be a multiple of learner.num \(3\)"):
        FolmConfig(
            grpo={"wscr": grpo.model_copy(update={"micro_batch_size": 160})}, tasks=("wscr",), learner={"num": 3}
        )
    # A micro-batch larger than the batch is the batch.
    FolmConfig(grpo={"wscr": grpo.model_copy(update={"micro_batch_size": 512})})


def test_settings_refuse_what_is_no_regular_expression_or_no_rate() -> None:
    with pytest.raises(ValidationError, match="not a valid regular expression"):
        SoftGRPOConfig(learning_rate={"(": 0.1})
    with pytest.raises(ValidationError, match="no rate"):
        SoftGRPOConfig(learning_rate={})
    with pytest.raises(ValidationError, match="greater than 0"):
        SoftGRPOConfig(learning_rate={"norm": 0.0})
    config = SoftGRPOConfig(learning_rate={r"^model\.norm": 0.1})
    assert SoftGRPOConfig.model_validate_json(config.model_dump_json()) == config
    assert SoftGRPOConfig.model_validate(config.model_dump()) == config
