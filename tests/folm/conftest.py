"""Fixtures that the tests of folm share."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate import Accelerator
from transformers import AutoTokenizer

from r4t_ray.encoders import resolve_model
from r4t_ray.folm.learner.trainer import SoftGRPOTrainer


@pytest.fixture(scope="session")
def trainer_at() -> Callable[[Any, int], Any]:
    """(model, step) -> the part of a trainer that ``publish_weights`` uses, with the shipped tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("package:r4t_ray/folm/base_model"))

    def build(model: Any, step: int) -> Any:
        trainer = SimpleNamespace(
            model=model,
            model_wrapped=model,
            processing_class=tokenizer,
            accelerator=Accelerator(cpu=True),
            state=SimpleNamespace(global_step=step),
        )
        trainer.full_state = lambda: SoftGRPOTrainer.full_state(trainer)
        return trainer

    return build
