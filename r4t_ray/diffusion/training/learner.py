"""The state of one training worker, and one update."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_model
from torch import Tensor

from r4t_ray.diffusion.hub import WEIGHTS, DiffusionRetriever
from r4t_ray.diffusion.schedule import training_sigmas
from r4t_ray.diffusion.settings import DiffusionConfig, NetworkConfig
from r4t_ray.diffusion.training.batches import permute_rows
from r4t_ray.diffusion.training.ema import Ema
from r4t_ray.diffusion.training.known import KnownAnswers
from r4t_ray.diffusion.training.loss import SetLoss
from r4t_ray.diffusion.training.matching import match_rows
from r4t_ray.diffusion.training.optimizer import optimizer_step
from r4t_ray.types import Array, Task

STATE = "state.pt"


def step_seed(seed: int, rank: int, step: int) -> int:
    """Seed of one worker's random numbers in one update: 64 bits that depend on all three numbers, each 0 or more."""
    return int(np.random.SeedSequence((seed, rank, step)).generate_state(1, np.uint64)[0])


def default_generator(device: torch.device) -> torch.Generator:
    """The generator that dropout uses; dropout accepts no other."""
    if device.type == "cuda":
        return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
    return torch.default_generator


class Learner:
    """The network, its moving average and the optimizer. ``step`` counts the updates made.

    The random numbers of an update depend on the seed, the rank and the step alone. So a restored learner with the same
    seed and rank continues as if it had not stopped.

    Args:
        config: Settings of the stage.
        shape: Shape of the network.
        task: Its sampler settings are stored with the retriever.
        seed: Seed of the first weights, the noise and dropout.
        rank: Rank of this worker; workers sample different noise and dropout.
        anchors_ND: The ``shape.num_anchors`` anchors; None for a network without anchors.
        hubness_N: Their hubness, for ``shape.prior: nearness``.
        known: The ``shape.num_keys`` queries that it remembers; None without a memory.
        device: Device that it trains on. Default: the CPU.
        wrap: Wraps the loss module so that the workers share its gradients.
    """

    def __init__(
        self,
        config: DiffusionConfig,
        shape: NetworkConfig,
        task: Task,
        *,
        seed: int,
        rank: int,
        anchors_ND: Array | None = None,
        hubness_N: Array | None = None,
        known: KnownAnswers | None = None,
        device: torch.device | None = None,
        wrap: Callable[[torch.nn.Module], torch.nn.Module] = lambda module: module,
    ) -> None:
        self.config, self.device = config, device or torch.device("cpu")
        self.seed, self.rank = seed, rank
        torch.manual_seed(seed)
        retriever = DiffusionRetriever(shape, config.noise.for_width(shape.dim), config.sampler[task]).to(self.device)
        if anchors_ND is not None:
            retriever.mixture.anchors_ND.copy_(torch.tensor(anchors_ND))
        assert (hubness_N is not None) == (anchors_ND is not None and shape.prior == "nearness")
        if hubness_N is not None:
            retriever.mixture.hubness_N.copy_(torch.tensor(hubness_N))
        if known is not None:
            retriever.mixture.memory.keys_TD.copy_(torch.tensor(known.keys_TD))
            retriever.mixture.memory.entries_TR.copy_(torch.tensor(known.entries_TR))
        self.generator = default_generator(self.device)
        self.retriever, self.step = retriever, 0
        self.ema = Ema(retriever, config.optimizer.ema_decay)
        if config.compile:
            retriever.compile()
        self.set_loss = wrap(SetLoss(retriever, config.prior_weight))
        self.optimizer = torch.optim.Adam(retriever.parameters(), lr=config.optimizer.learning_rate, fused=True)

    def update(self, z_q_BD: Tensor, target_BLD: Tensor, weight_B: Tensor) -> Tensor:
        """Make one update on one batch; returns its loss (eq. 9 and the prior's), a detached scalar."""
        self.set_loss.train()
        self.generator.manual_seed(step_seed(self.seed, self.rank, self.step))
        target_BLD = permute_rows(target_BLD, self.generator)
        is_dropped_B = torch.rand(len(z_q_BD), generator=self.generator, device=self.device) < self.config.query_dropout
        loss = self._loss(self.set_loss, (z_q_BD, target_BLD, weight_B), is_dropped_B, self.generator)
        optimizer_step(self.optimizer, loss, self.step, self.config.optimizer)
        if self.retriever.mixture is not None:
            self.retriever.mixture.keep_in_bounds()
        self.ema.update(self.retriever, self.step)
        self.step += 1
        return loss.detach()

    @torch.no_grad()
    def validate(self, z_q_BD: Tensor, target_BLD: Tensor, weight_B: Tensor) -> float:
        """Weighted mean of the averaged network's conditional loss, with the same noise at every call."""
        generator = torch.Generator(self.device).manual_seed(0)
        set_loss = SetLoss(self.ema.model, self.config.prior_weight)
        total, batch_size = 0.0, self.config.optimizer.batch_size
        for batch in zip(*(values.split(batch_size) for values in (z_q_BD, target_BLD, weight_B)), strict=True):
            none_dropped_B = torch.zeros(len(batch[0]), dtype=torch.bool, device=self.device)
            total += len(batch[0]) * float(self._loss(set_loss, batch, none_dropped_B, generator))
        return total / float(weight_B.sum())

    def _loss(
        self,
        set_loss: torch.nn.Module,
        batch: tuple[Tensor, ...],
        is_dropped_B: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        z_q_BD, target_BLD, weight_B = batch
        sigma_B = training_sigmas(len(z_q_BD), self.retriever.noise, generator)
        eps_BLD = torch.randn(target_BLD.shape, generator=generator, device=self.device)
        if self.config.row_matching == "noise":
            target_BLD = match_rows(target_BLD, eps_BLD)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            loss: Tensor = set_loss(target_BLD, eps_BLD, sigma_B, z_q_BD, is_dropped_B=is_dropped_B, weight_B=weight_B)
        return loss

    def save(self, folder: Path) -> None:
        """Write the averaged retriever, loadable by ``from_pretrained``, and the state that a restart needs."""
        self.ema.model.save_pretrained(folder)
        state = {"step": self.step, "weights": self.retriever.state_dict(), "adam": self.optimizer.state_dict()}
        torch.save(state, folder / STATE)

    def restore(self, folder: Path) -> None:
        """Continue from a folder of ``save``, under this learner's seed and rank."""
        state = torch.load(folder / STATE, map_location=self.device, weights_only=True)
        self.step = int(state["step"])
        self.retriever.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["adam"])
        load_model(self.ema.model, str(folder / WEIGHTS), strict=True, device=str(self.device))
