"""Weights on disk between the learner and the engines: ``step-N`` directories with a marker written last."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from r4t_ray.errors import ArtifactError

MARKER = "COMPLETE"
KEPT = 2


def publish_weights(model: Any, tokenizer: Any, folder: Path, step: int) -> Path:
    """Write a Hugging Face directory ``folder/step-N``, marker last, and drop all but the newest KEPT.

    Raises:
        ArtifactError: The folder cannot be written.
    """
    path = folder / f"step-{step:08d}"
    try:
        if not (path / MARKER).exists():
            path.mkdir(parents=True, exist_ok=True)
            model.save_pretrained(path)
            tokenizer.save_pretrained(path)
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
    return path
