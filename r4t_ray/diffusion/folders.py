"""The files beside a retriever's weights, and the choice between a retriever and its student."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from r4t_ray.diffusion.samplers import SolverName

STUDENT: Final = "student"
"""Folder of the one-step student."""
LABELS = "labels.parquet"
"""File with the texts and embeddings that name directions."""
PROGRAM = "top_anchors.onnx"
"""File with the solver and the retriever in ONNX, if the solver is ``top_anchors``."""


def serving_folder(folder: Path, solver: SolverName | None, num_steps: int | None, guidance: float | None) -> Path:
    """The folder of the retriever that answers for a task.

    This is the student's folder if there is a student and no setting of the sampler is given; else ``folder``.
    """
    is_unset = solver is None and num_steps is None and guidance is None
    return folder / STUDENT if is_unset and (folder / STUDENT).is_dir() else folder
