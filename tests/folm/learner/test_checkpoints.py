"""Callbacks of the learner's Trainer."""

from __future__ import annotations

from types import SimpleNamespace

from transformers import TrainerState

from r4t_ray.folm.learner.checkpoints import ReportCheckpoint


def test_a_resumed_run_saves_at_the_interval_of_its_settings() -> None:
    state = TrainerState(save_steps=20)  # as the checkpoint of the earlier run has it
    ReportCheckpoint(SimpleNamespace(), SimpleNamespace()).on_train_begin(SimpleNamespace(save_steps=4), state, None)
    assert state.save_steps == 4
