"""The decoder's training in torch: softmax over the pool, with items left out at random.

The nearest direction is not part of the loss. The retriever was trained on the training queries, so its directions fit
them better than those of a new query. ``choice`` weighs the directions on validation queries instead.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from r4t_ray.decoder.choice import loss_at_best_bias
from r4t_ray.decoder.examples import Examples
from r4t_ray.decoder.settings import DecoderConfig
from r4t_ray.decoder.start import FIRST_SHARED, first_bias, first_own
from r4t_ray.types import Array

_logger = logging.getLogger(__name__)


class Weights(torch.nn.Module):
    """A, u_i and b_i, which start in closed form; see ``decoder.start``.

    Args:
        train: The training sets.
        own_penalty: Factor of ||u_i||^2 beside the loss, which is a mean over queries.
    """

    def __init__(self, train: Examples, own_penalty: float) -> None:
        super().__init__()
        first_MD = first_own(train, own_penalty * len(train.z_q_SD))
        self.shared_DD = torch.nn.Parameter(FIRST_SHARED * torch.eye(first_MD.shape[1]))
        self.own_MD = torch.nn.Parameter(torch.from_numpy(first_MD))
        self.bias_M = torch.nn.Parameter(torch.from_numpy(first_bias(train)))

    def forward(self, z_q_BD: Tensor, emb_MD: Tensor, rho_M: Tensor) -> Tensor:
        """The scores without the directions: e_i' A z_q + rho_i (u_i' z_q + b_i), shape (B, M)."""
        shared_BM = (z_q_BD @ self.shared_DD.T) @ emb_MD.T
        return shared_BM + rho_M * (z_q_BD @ self.own_MD.T + self.bias_M)

    def penalty(self, own: float, shared: float) -> Tensor:
        """The sum own * sum ||u_i||^2 + shared * ||A - a I||^2, where a is the mean of A's diagonal."""
        mean_DD = self.shared_DD.diagonal().mean() * torch.eye(len(self.shared_DD))
        return own * self.own_MD.square().sum() + shared * (self.shared_DD - mean_DD).square().sum()


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A, u_i and b_i as numpy arrays, and the loss of every measurement.

    Attributes:
        shared_DD: A.
        own_MD: u_i.
        bias_M: b_i.
        losses: (step, validation loss). It is empty without validation sets.
    """

    shared_DD: Array
    own_MD: Array
    bias_M: Array
    losses: list[tuple[int, float]] = field(default_factory=list)


def set_loss(scores_BM: Tensor, examples: Examples) -> Tensor:
    """Mean over the queries of the mean over i in Y of -ln softmax(s)_i over the pool.

    Args:
        scores_BM: Scores of every item for the queries of ``examples``.
        examples: The queries' reference sets Y.
    """
    queries_N, rows_N = torch.from_numpy(examples.queries_N), torch.from_numpy(examples.rows_N)
    held = (torch.from_numpy(examples.share_N) * scores_BM[queries_N, rows_N]).sum()
    return scores_BM.logsumexp(dim=1).mean() - held / len(scores_BM)


def train_weights(train: Examples, val: Examples, emb_MD: Array, config: DecoderConfig, seed: int) -> Trained:
    """Run Adam until the validation loss has not fallen for ``config.patience`` measurements.

    Args:
        train: The training sets.
        val: The validation sets. If there are none, all ``max_steps`` are taken.
        emb_MD: Unit embeddings of the pool.
        config: Settings of the stage.
        seed: Seed of the batches and of the items that are left out.

    Returns:
        The weights with the lowest validation loss; without validation sets the last ones.
    """
    # A penalty in nats per member, beside a loss that is a mean over queries.
    own, shared = (strength / len(train.rows_N) for strength in (config.own_penalty, config.shared_penalty))
    weights, generator = Weights(train, own), np.random.default_rng(seed)
    optimizer = torch.optim.Adam(weights.parameters(), lr=config.learning_rate)
    item_MD, seen_M = torch.tensor(emb_MD), torch.from_numpy(train.seen_M.astype(np.float32))
    losses: list[tuple[int, float]] = []
    best = numbers(weights)
    for step in range(config.max_steps + 1):
        if len(val.z_q_SD) and (step % config.steps_between_validations == 0 or step == config.max_steps):
            loss = validation_loss(weights, val, item_MD, train.seen_M)
            if all(loss < former for _, former in losses):
                best = numbers(weights)
            losses.append((step, loss))
            _logger.info("decoder: step %d, validation loss %.4f", step, loss)
            if has_stopped([value for _, value in losses], config.patience):
                break
        batch = train.part(np.sort(generator.permutation(len(train.z_q_SD))[: config.batch_size]))
        kept_M = torch.from_numpy((generator.random(train.num_items) >= config.dropped_share).astype(np.float32))
        optimizer.zero_grad()
        fit = set_loss(weights(torch.from_numpy(batch.z_q_SD), item_MD, seen_M * kept_M), batch)
        (fit + weights.penalty(own, shared)).backward()
        optimizer.step()
    return Trained(**(best if losses else numbers(weights)), losses=losses)


def has_stopped(losses: list[float], patience: int) -> bool:
    """Whether none of the last ``patience`` losses is below all the losses before them."""
    return len(losses) > patience and min(losses[-patience:]) >= min(losses[:-patience])


def numbers(weights: Weights) -> dict[str, Array]:
    """Copies of A, u_i and b_i."""
    return {name: each.detach().numpy().copy() for name, each in weights.named_parameters()}


@torch.no_grad()
def validation_loss(weights: Weights, val: Examples, item_MD: Tensor, seen_M: NDArray[np.bool_]) -> float:
    """``set_loss`` of the validation sets at the best bias of the seen items."""
    rho_M = torch.from_numpy(seen_M.astype(np.float32))
    scores_BM = weights(torch.from_numpy(val.z_q_SD), item_MD, rho_M).numpy()
    return loss_at_best_bias(scores_BM, val, seen_M)
