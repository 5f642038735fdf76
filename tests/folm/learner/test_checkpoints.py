"""Callbacks of the learner's Trainer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from r4t_ray.folm.learner.checkpoints import ReportCheckpoint


def test_a_resumed_run_saves_at_the_interval_of_its_settings() -> None:
    state = TrainerState(save_steps=20)  # as the checkpoint of the earlier run has it
    callback = ReportCheckpoint(SimpleNamespace(), SimpleNamespace(), SimpleNamespace())
    callback.on_train_begin(SimpleNamespace(save_steps=4), state, None)
    assert state.save_steps == 4


@pytest.mark.parametrize(("optimizer_step", "stops"), [(3, False), (4, True)])
def test_a_run_ends_between_two_batches_when_validation_is_over(optimizer_step: int, stops: bool) -> None:
    trainer, control = SimpleNamespace(grpo=SimpleNamespace(num_iterations=2)), TrainerControl()
    callback = ReportCheckpoint(trainer, SimpleNamespace(), SimpleNamespace(is_over=True))
    callback.on_step_end(SimpleNamespace(), TrainerState(global_step=optimizer_step), control)
    assert (control.should_training_stop, control.should_save) == (stops, False)
