"""The record of a solver: its function, and the facts about it that other modules read.

This module loads without torch, because settings are checked before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor

SolverName = Literal["euler", "heun", "dpmpp_2m", "sde", "top_anchors", "one_step"]
"""``samplers.SOLVERS`` holds one record for each name."""


class Denoise(Protocol):
    """The denoiser of B queries, as a solver calls it; guidance and steering are already applied."""

    @property
    def anchors_ND(self) -> Tensor | None:
        """Known unit rows that the output may be mixed from; None for a network without anchors."""

    def __call__(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        """D(z; sigma): the estimate of the clean rows, (B, L, D)."""

    def anchor_logits(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        """The logit of each anchor for each row, (B, L, N); only for a network with anchors."""

    def prior_logits(self) -> Tensor:
        """The logit of each anchor's expected share of the rows, (B, N); only for a network with anchors."""

    def nearness(self) -> Tensor:
        """How near each anchor is to the query, (B, N), in nats; only for a network with anchors."""


@dataclass(frozen=True, kw_only=True)
class Solver:
    """A solver of the reverse process.

    Attributes:
        function: ``(denoise, start_BLD, sigmas_S, draw) -> z_BLD``. ``start_BLD`` is noise, already scaled by
            sigmas_S[0]. ``sigmas_S`` decreases and ends at 0, or above 0 to stop early. ``draw()`` returns new standard
            normal noise of the same shape.
        evaluations: Number of steps -> number of evaluations of the denoiser.
        is_stepwise: It takes ``num_steps`` steps along the noise levels. A solver that is not stepwise evaluates the
            denoiser once, at sigma_max, and returns unit rows.
        is_stochastic: It draws noise at every step.
        is_guided: Classifier-free guidance changes its rows.
        is_ranked: Its rows come best first. The rows of a solver that is not ranked are in no order.
        starts_from_noise: Its rows depend on the starting noise.
    """

    function: Callable[[Denoise, Tensor, Tensor, Callable[[], Tensor]], Tensor]
    evaluations: Callable[[int], int]
    is_stepwise: bool = True
    is_stochastic: bool = False
    is_guided: bool = True
    is_ranked: bool = False
    starts_from_noise: bool = True
