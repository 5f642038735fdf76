"""Query text -> L directions: the encoder and the diffusion retrievers, in one process and without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from r4t_ray.artifacts import Workspace
from r4t_ray.diffusion import DiffusionRetriever
from r4t_ray.encoders import Encoder, load_encoder
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.loading import served_tasks
from r4t_ray.serve.sampling import sample_each, sampler_settings
from r4t_ray.types import Array, Task


@dataclass(frozen=True)
class Ask:
    """What the generator needs of one request."""

    task: Task
    query: str
    seed: int


class FanOut:
    """Encoder and one retriever a task.

    Args:
        encoder: Text -> unit rows.
        retrievers: Task -> trained retriever, in evaluation mode.
        args: Sampler settings; None means the retriever's own.
    """

    def __init__(self, encoder: Encoder, retrievers: dict[Task, DiffusionRetriever], args: AppArgs) -> None:
        self.encoder, self.retrievers, self.args = encoder, retrievers, args

    @classmethod
    def load(cls, workspace: Workspace, args: AppArgs) -> Self:
        """Open the verified encoder and retrievers of a workspace; raises ArtifactError."""
        encoder_path = workspace.artifact("embed").path / "encoder"
        diffusion_path = workspace.artifact("diffusion").path
        device = "cuda" if args.generator.num_gpus else "cpu"
        retrievers = {
            task: DiffusionRetriever.from_pretrained(diffusion_path / task).to(device).eval()
            for task in served_tasks(workspace)
        }
        return cls(load_encoder(encoder_path), retrievers, args)

    def __call__(self, asks: Sequence[Ask]) -> list[Array]:
        """Directions z_LD of each ask, unit rows.

        Every ask's noise comes from its own seed, so its answer does not depend on the asks beside it (up to the
        rounding of matrix products of another batch size).
        """
        emb_BD = self.encoder.encode([ask.query for ask in asks])
        z_by_position: dict[int, Array] = {}
        for task in {ask.task for ask in asks}:
            positions = [position for position, ask in enumerate(asks) if ask.task == task]
            z_BLD = self._sample(task, emb_BD[positions], [asks[position].seed for position in positions])
            z_by_position.update(zip(positions, z_BLD, strict=True))
        return [z_by_position[position] for position in range(len(asks))]

    def _sample(self, task: Task, z_q_BD: Array, seeds: Sequence[int]) -> Array:
        retriever = self.retrievers[task]
        device = next(retriever.parameters()).device
        settings = sampler_settings(retriever.sampler, self.args)
        z_BLD = sample_each(retriever, torch.from_numpy(z_q_BD).to(device), seeds, settings)
        return np.asarray(z_BLD.float().cpu().numpy())
