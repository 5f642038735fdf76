"""Distillation of a student that answers in one evaluation; its teacher, the diffusion retriever, takes many.

A solver of the probability-flow ODE maps noise at sigma_max to one set of rows. The student learns this map, which is
the consistency function of arXiv 2303.01469 at sigma_max. It learns by regression on solved trajectories, as in
arXiv 2101.02388. With anchors the student classifies rows and does not regress them, because no item lies between two
anchors.

Not in arXiv 2603.06397.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.dataset as pads
import torch
from torch import Tensor, nn
from torch.nn import functional

from r4t_ray.diffusion.denoiser import QueryDenoiser
from r4t_ray.diffusion.generation import solve
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.settings import StudentConfig
from r4t_ray.diffusion.training.ema import Ema
from r4t_ray.diffusion.training.learner import step_seed
from r4t_ray.diffusion.training.optimizer import optimizer_step

MAX_QUERIES = 100_000
"""Most training queries that a student learns from. More queries take memory and improve the student little."""

LOG_EVERY = 100
OWN_STEP = 2**40
"""A step that no ``Learner`` reaches, so that a student's noise differs from the noise of every update."""

_logger = logging.getLogger(__name__)


class StudentLoss(nn.Module):
    """Distance of one evaluation from the teacher's end; a module, so that workers share its gradients."""

    def __init__(self, student: DiffusionRetriever) -> None:
        super().__init__()
        self.student = student

    def forward(self, z_BLD: Tensor, z_q_BD: Tensor, end_BLD: Tensor) -> Tensor:
        """Cross-entropy of each row's anchor; for a network without anchors, squared distance of the rows. A scalar.

        Args:
            z_BLD: Noise at sigma_max.
            z_q_BD: Unit query embeddings.
            end_BLD: Ends of the teacher's trajectories from z_BLD, unit rows.
        """
        denoise, sigma_B = (
            QueryDenoiser(self.student, z_q_BD),
            torch.full_like(z_q_BD[:, 0], self.student.noise.sigma_max),
        )
        if denoise.anchors_ND is None:
            return (denoise(z_BLD, sigma_B) - end_BLD).square().sum(dim=-1).mean()
        number_BL = (end_BLD @ denoise.anchors_ND.T).argmax(dim=-1)
        return functional.cross_entropy(denoise.anchor_logits(z_BLD, sigma_B).flatten(0, 1), number_BL.flatten())


def distill(
    teacher: DiffusionRetriever,
    z_q_ND: Tensor,
    config: StudentConfig,
    *,
    seed: int,
    rank: int = 0,
    num_workers: int = 1,
    wrap: Callable[[nn.Module], nn.Module] = lambda module: module,
) -> DiffusionRetriever:
    """Train a student on the teacher's device.

    Args:
        teacher: In evaluation mode.
        z_q_ND: Queries to learn from, on the teacher's device.
        config: The student's optimizer, and the solver of the trajectories.
        seed: Seed of the noise and of the choice of queries.
        rank: Rank of this worker; workers sample different noise.
        num_workers: Workers that share a batch.
        wrap: Wraps the loss module so that the workers share its gradients.

    Returns:
        The averaged student, of the teacher's shape, with the solver ``one_step``.
    """
    sampler = teacher.sampler.model_copy(update={"solver": "one_step", "num_steps": 1, "guidance": 0.0})
    # A new module, because a module saves the settings that it was built with.
    student = DiffusionRetriever(teacher.network.config, teacher.noise, sampler).to(z_q_ND.device).train()
    student.load_state_dict(teacher.state_dict())
    if student.mixture is not None:  # one_step uses neither, and DDP waits for every parameter that needs a gradient
        student.network.rows_out.requires_grad_(False)
        student.network.null_query_D.requires_grad_(False)
        if teacher.mixture is not None and teacher.mixture.memory is not None:
            teacher.mixture.memory.train()  # as the student's: both learn without the key of the query itself
    settings, shape = config.optimizer, teacher.network.config
    batch_size = settings.batch_size // num_workers
    loss_of, ema = wrap(StudentLoss(student)), Ema(student, settings.ema_decay)
    optimizer = torch.optim.Adam(student.parameters(), lr=settings.learning_rate, fused=True)
    generator = torch.Generator(z_q_ND.device).manual_seed(step_seed(seed, rank, OWN_STEP))
    for step in range(settings.num_steps):
        chosen_B = torch.randint(len(z_q_ND), (batch_size,), generator=generator, device=z_q_ND.device)
        z_q_BD = z_q_ND[chosen_B]
        noise_BLD = torch.randn((batch_size, shape.num_rows, shape.dim), generator=generator, device=z_q_ND.device)
        end_BLD = solve(teacher, noise_BLD, z_q_BD, config.trajectory)
        loss = loss_of(teacher.noise.sigma_max * noise_BLD, z_q_BD, end_BLD)
        optimizer_step(optimizer, loss, step, settings)
        ema.update(student, step)
        if step % LOG_EVERY == 0 or step + 1 == settings.num_steps:
            _logger.info("student: step %d of %d, loss %.4f", step + 1, settings.num_steps, float(loss.detach()))
    return ema.model.eval()


def training_queries(pairs_folder: Path) -> Tensor:
    """The distinct z_q of the training pairs in the files' order, at most MAX_QUERIES; float32 unit rows (N, D)."""
    pairs = pads.dataset(pairs_folder, format="parquet")
    found: dict[bytes, None] = {}
    dim = pairs.schema.field("z_q").type.list_size  # a file without training pairs gives a batch of no rows
    for batch in pairs.scanner(["z_q"], filter=pads.field("split") == "train", batch_size=4096).to_batches():
        flat = batch.column("z_q").flatten().to_numpy(zero_copy_only=False)
        found.update(dict.fromkeys(row.tobytes() for row in flat.reshape(-1, dim)))
        if len(found) >= MAX_QUERIES:
            break
    dtype = pairs.schema.field("z_q").type.value_type.to_pandas_dtype()
    rows = np.stack([np.frombuffer(row, dtype) for row in list(found)[:MAX_QUERIES]])
    return functional.normalize(torch.from_numpy(rows.astype(np.float32)), dim=-1)
