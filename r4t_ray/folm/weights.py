"""Weights on disk between the learner and the engines: ``step-N`` directories with a marker written last."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

MARKER = "COMPLETE"
KEPT = 2


def publish_weights(model: Any, tokenizer: Any, folder: Path, step: int) -> Path:
    """Write a Hugging Face directory ``folder/step-N``, marker last, and drop all but the newest KEPT."""
    path = folder / f"step-{step:08d}"
    if not (path / MARKER).exists():
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
        (path / MARKER).touch()
    for old in sorted(folder.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old)
    return path
