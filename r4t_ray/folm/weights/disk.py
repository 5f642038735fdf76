"""Weights on disk between the learner and the engines: ``step-N`` directories with a marker written last."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from r4t_ray.errors import ArtifactError
from r4t_ray.folm.learner.lora import merge_adapters

MARKER = "COMPLETE"
KEPT = 2


def publish_weights(trainer: Any, folder: Path) -> Path:
    """Have the first worker write a Hugging Face directory ``folder/step-N``, and drop all but the newest KEPT.

    Every worker calls this, for a sharded model is gathered from all of them, and none returns before it is written.

    Raises:
        ArtifactError: The folder cannot be written.
    """
    path = folder / f"step-{trainer.state.global_step:08d}"
    try:
        save_weights(trainer, path)
        if trainer.accelerator.is_main_process:
            (path / MARKER).touch()
            for old in sorted(folder.glob("step-*"))[:-KEPT]:
                shutil.rmtree(old)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            str(folder),
            f"weights that cannot be written ({error})",
            "a folder with room for two copies of the model",
            "free the space or mend the permissions, then run the same command again",
        ) from error
    trainer.accelerator.wait_for_everyone()
    return path


def full_state(trainer: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """The learner's model without adapters, and its whole state with them merged.

    Every worker calls this, for a sharded model is gathered from all of them; the state is the first one's alone.
    """
    accelerator = trainer.accelerator
    state = accelerator.get_state_dict(trainer.model_wrapped)
    model = accelerator.unwrap_model(trainer.model)
    if not accelerator.is_main_process:
        return model, {}
    return merge_adapters(model, state) if hasattr(model, "peft_config") else (model, state)


def save_weights(trainer: Any, path: Path) -> None:
    """Write the learner's model, adapters merged, and its tokenizer; every worker calls this, the first one writes."""
    model, state = full_state(trainer)
    if not trainer.accelerator.is_main_process:
        return
    path.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(path, state_dict=state)
    trainer.processing_class.save_pretrained(path)
