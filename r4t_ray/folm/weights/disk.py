"""Weights on disk between the learner and the engines: ``step-N`` directories with a marker written last."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from r4t_ray.errors import ArtifactError

MARKER = "COMPLETE"
KEPT = 2


def publish_weights(trainer: Any, folder: Path) -> Path:
    """Write a Hugging Face directory ``folder/step-N``, and remove all such directories but the newest KEPT.

    Every worker must call this, because a sharded model is gathered from all workers. The first worker writes. No
    worker returns before the directory is complete.

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
            "free the space or correct the permissions, then run the same command again",
        ) from error
    trainer.accelerator.wait_for_everyone()
    return path


def save_weights(trainer: Any, path: Path) -> None:
    """Write the learner's model, adapters merged, and its tokenizer.

    Every worker must call this. The first worker writes.
    """
    model, state = trainer.full_state()
    if not trainer.accelerator.is_main_process:
        return
    path.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(path, state_dict=state)
    trainer.processing_class.save_pretrained(path)
