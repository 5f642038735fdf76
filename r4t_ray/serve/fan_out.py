"""Query text -> L directions: the encoder and the diffusion retrievers, in one process and without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from r4t_ray.artifacts import Workspace
from r4t_ray.diffusion import DiffusionRetriever
from r4t_ray.diffusion.generation import generate_each, sampler_with
from r4t_ray.diffusion.transforms import Steering
from r4t_ray.encoders import Encoder, load_encoder
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.loading import retriever_folder, served_tasks
from r4t_ray.types import Array, Task


@dataclass(frozen=True)
class Ask:
    """What the generator needs of one request; what is liked and avoided is in words."""

    task: Task
    query: str
    seed: int
    temperature: float = 1.0
    guidance: float | None = None
    strength: float = 0.0
    like: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()

    @property
    def texts(self) -> list[str]:
        """What is to be encoded: the query, then what is liked, then what is avoided."""
        return [self.query, *self.like, *self.avoid]

    @property
    def is_plain(self) -> bool:
        """Whether it asks for no steering."""
        return self.temperature == 1.0 and not (self.strength and (self.like or self.avoid))


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
        workspace.artifact("diffusion")
        device = "cuda" if args.generator.num_gpus else "cpu"
        retrievers = {
            task: DiffusionRetriever.from_pretrained(retriever_folder(workspace, task, args)).to(device).eval()
            for task in served_tasks(workspace)
        }
        return cls(load_encoder(encoder_path), retrievers, args)

    def __call__(self, asks: Sequence[Ask]) -> list[Array]:
        """Directions z_LD of each ask, unit rows.

        Every ask's noise comes from its own seed, so its answer does not depend on the asks beside it (up to the
        rounding of matrix products of another batch size).
        """
        emb_ND = self.encoder.encode([text for ask in asks for text in ask.texts])
        emb_of = np.split(emb_ND, np.cumsum([len(ask.texts) for ask in asks])[:-1])
        z_by_position: dict[int, Array] = {}
        for task, guidance in {(ask.task, ask.guidance): None for ask in asks}:
            positions = [at for at, ask in enumerate(asks) if (ask.task, ask.guidance) == (task, guidance)]
            z_BLD = self._sample([asks[at] for at in positions], [emb_of[at] for at in positions])
            z_by_position.update(zip(positions, z_BLD, strict=True))
        return [z_by_position[position] for position in range(len(asks))]

    def _sample(self, asks: Sequence[Ask], embs: Sequence[Array]) -> Array:
        """Rows of asks of one task and guidance, each with the embeddings of its ``texts``."""
        retriever = self.retrievers[asks[0].task]
        device = next(retriever.parameters()).device
        guidance = self.args.guidance if asks[0].guidance is None else asks[0].guidance
        solver, num_steps = self.args.solver, self.args.num_steps
        sampler = sampler_with(retriever.sampler, solver=solver, num_steps=num_steps, guidance=guidance)
        z_q_BD = torch.from_numpy(np.stack([emb_ND[0] for emb_ND in embs])).to(device)
        steering = None if all(ask.is_plain for ask in asks) else steering_of(asks, embs, device)
        z_BLD = generate_each(retriever, z_q_BD, sampler, seeds=[ask.seed for ask in asks], steering=steering)
        return np.asarray(z_BLD.float().cpu().numpy())


def steering_of(asks: Sequence[Ask], embs: Sequence[Array], device: torch.device) -> Steering:
    """What asks want beside their queries, of the embeddings of their ``texts``."""
    dim, most = embs[0].shape[1], max(1, *(len(ask.avoid) for ask in asks))
    like_BD, avoid_BJD = np.zeros((len(asks), dim), np.float32), np.zeros((len(asks), most, dim), np.float32)
    for b, (ask, emb_ND) in enumerate(zip(asks, embs, strict=True)):
        if ask.like:
            like_BD[b] = emb_ND[1 : 1 + len(ask.like)].mean(axis=0)
        avoid_BJD[b, : len(ask.avoid)] = emb_ND[1 + len(ask.like) :]
    numbers = [[ask.temperature for ask in asks], [ask.strength for ask in asks]]
    temperature_B, strength_B = torch.tensor(numbers, dtype=torch.float32, device=device)
    return Steering(
        temperature_B=temperature_B,
        strength_B=strength_B,
        like_BD=torch.from_numpy(like_BD).to(device),
        avoid_BJD=torch.from_numpy(avoid_BJD).to(device),
    )
