"""The most likely and diverse anchors of a query, any number of them, in one evaluation and without random numbers.

Not in arXiv 2603.06397. The logits of the anchors' shares (``Denoiser.prior_logits``) depend on the query alone. They
say how many rows of an answer the network expects at each anchor. The R largest would often be near-duplicates, so R
anchors are picked by quality and diversity (``diverse_picks``). The answer is deterministic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from r4t_ray.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from r4t_ray.diffusion.samplers.solver import Denoise

NUM_CANDIDATES = 256
"""Picks come from this many anchors with the highest logits, or from as many as there are picks."""
LEAST_GAIN = 1e-4
"""Smallest share of an anchor that other picks do not explain. It keeps the logarithm finite for more picks than the
embeddings have dimensions, and where an anchor repeats."""


def top_anchors(
    denoise: Denoise,
    start_BLD: Tensor,
    sigmas_S: Tensor,
    draw: Callable[[], Tensor] | None = None,
    *,
    diversity: float | Tensor = 0.0,
) -> Tensor:
    """Return R anchors by ``diverse_picks`` of their logits, in the order of the picks; all are different.

    R, the rows of ``start_BLD``, may differ from the L rows of training. Only the shape of ``start_BLD`` is used.
    ``sigmas_S`` and ``draw`` are not used.

    Raises:
        ConfigError: The network has fewer anchors than rows.
    """
    num_rows = start_BLD.shape[1]
    num_anchors = 0 if denoise.anchors_ND is None else denoise.anchors_ND.shape[0]
    if denoise.anchors_ND is None or num_anchors < num_rows:
        raise ConfigError(
            "sampler: solver 'top_anchors'",
            f"a network with {num_anchors} anchors",
            f"num_rows = {num_rows} or more",
            "take another solver, or train with diffusion.network.num_anchors set",
        )
    picks_BR = diverse_picks(denoise.prior_logits(), denoise.anchors_ND, num_rows, diversity)
    return denoise.anchors_ND[picks_BR]


def diverse_picks(logits_BN: Tensor, anchors_ND: Tensor, num_picks: int, diversity: float | Tensor) -> Tensor:
    """Pick anchors one by one; each pick raises sum of logits + diversity * ln det K most.

    K holds the cosines between the picks. exp of the objective is, up to a power, the probability of a determinantal
    point process with quality exp(logit / (2 diversity)) (k-DPP, arXiv 1207.6083). The greedy picks and their Cholesky
    factor follow arXiv 1709.05135. The first picks do not depend on ``num_picks``.

    Args:
        logits_BN: Logits of the anchors for each query.
        anchors_ND: Unit rows.
        num_picks: R, at most N.
        diversity: Nats, one number or one for each query, (B, 1); 0 takes the highest logits.

    Returns:
        Numbers of the anchors in the order of the picks, int64 (B, R).
    """
    import torch  # settings are checked before torch is loaded

    if isinstance(diversity, float) and not diversity:
        return logits_BN.topk(num_picks).indices
    num_candidates = min(max(NUM_CANDIDATES, num_picks), anchors_ND.shape[0])
    logit_BM, number_BM = logits_BN.topk(num_candidates)
    candidate_BMD = anchors_ND[number_BM]
    gain_BM = logit_BM.new_ones(logit_BM.shape)  # 1 - the share of a candidate that the picks explain
    factor_BPM = logit_BM.new_zeros(logit_BM.shape[0], 0, num_candidates)
    picks: list[Tensor] = []
    for _ in range(num_picks):
        best_B1 = (logit_BM + diversity * gain_BM.clamp_min(LEAST_GAIN).log()).argmax(dim=1, keepdim=True)
        picks.append(best_B1)
        pick_BD1 = candidate_BMD.gather(1, best_B1[:, :, None].expand(-1, -1, candidate_BMD.shape[2])).mT
        explained_BM = (factor_BPM.gather(2, best_B1[:, None].expand(-1, factor_BPM.shape[1], -1)) * factor_BPM).sum(1)
        scale_B1 = gain_BM.gather(1, best_B1).clamp_min(LEAST_GAIN).sqrt()
        new_BM = ((candidate_BMD @ pick_BD1)[:, :, 0] - explained_BM) / scale_B1
        factor_BPM = torch.cat([factor_BPM, new_BM[:, None]], dim=1)
        gain_BM = gain_BM - new_BM**2
        logit_BM = logit_BM.scatter(1, best_B1, -float("inf"))
    return number_BM.gather(1, torch.cat(picks, dim=1))
