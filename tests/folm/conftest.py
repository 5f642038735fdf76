"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate import Accelerator
from transformers import AutoTokenizer

from r4t_ray.encoders import resolve_model


@pytest.fixture(scope="session")
def trainer_at() -> Callable[[Any, int], Any]:
    """(model, step) -> what ``publish_weights`` reads of a trainer, with the shipped tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("package:r4t_ray/folm/base_model"))

    def build(model: Any, step: int) -> Any:
        state = SimpleNamespace(global_step=step)
        return SimpleNamespace(
            model=model,
            model_wrapped=model,
            processing_class=tokenizer,
            accelerator=Accelerator(cpu=True),
            state=state,
        )

    return build
