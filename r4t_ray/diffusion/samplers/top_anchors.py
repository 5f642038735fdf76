"""The most likely and diverse anchors of a query, any number of them, in one evaluation and without random numbers.

Not in arXiv 2603.06397. The logits of the anchors' shares (``Denoiser.prior_logits``) depend on the query alone. They
say how many rows of an answer the network expects at each anchor. The R largest would often be near-duplicates, so R
anchors are picked by quality and diversity (``diverse_picks``). They are picked among the anchors nearest to the query:
what the logits know beyond nearness was learnt from short queries, and leads far from a long one. The answer is
deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from r4t_ray.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from r4t_ray.diffusion.samplers.solver import Denoise

NUM_CANDIDATES = 256
"""Picks without a bound of their own come from this many anchors, or from twice as many as there are picks if that is
more."""
PER_PICK = 2
"""Pick number i is among at least so many times i of the nearest anchors."""
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
    candidates: float | Tensor | None = None,
) -> Tensor:
    """Return R anchors by ``diverse_picks`` of their logits, in the order of the picks; all are different.

    R, the rows of ``start_BLD``, may differ from the L rows of training. Only the shape of ``start_BLD`` is used.
    ``sigmas_S`` and ``draw`` are not used. ``candidates`` bounds the picks to the anchors nearest to the query.

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
    near = None if candidates is None else Near(denoise.nearness(), candidates)
    picks_BR = diverse_picks(denoise.prior_logits(), denoise.anchors_ND, num_rows, diversity, near)
    return denoise.anchors_ND[picks_BR]


class Near(NamedTuple):
    """The anchors that may be picked: the ``num`` nearest, one number or one for each query, (B, 1)."""

    nearness_BN: Tensor
    num: float | Tensor

    def allows(self, number: int, column_M: Tensor) -> Tensor:
        """Whether pick ``number`` (from 1) may be the nearest anchor, the second nearest, ...; bool (1 or B, M)."""
        import torch

        return column_M < torch.as_tensor(self.num).clamp_min(PER_PICK * number)


def diverse_picks(
    logits_BN: Tensor, anchors_ND: Tensor, num_picks: int, diversity: float | Tensor, near: Near | None = None
) -> Tensor:
    """Pick anchors one by one; each pick raises sum of logits + diversity * ln det K most.

    K holds the cosines between the picks. exp of the objective is, up to a power, the probability of a determinantal
    point process with quality exp(logit / (2 diversity)) (k-DPP, arXiv 1207.6083). The greedy picks and their Cholesky
    factor follow arXiv 1709.05135. The first picks do not depend on ``num_picks``.

    Args:
        logits_BN: Logits of the anchors for each query.
        anchors_ND: Unit rows.
        num_picks: R, at most N.
        diversity: Nats, one number or one for each query, (B, 1); 0 takes the highest logits.
        near: The anchors that may be picked. Default: the NUM_CANDIDATES with the highest logits.

    Returns:
        Numbers of the anchors in the order of the picks, int64 (B, R).
    """
    import torch  # settings are checked before torch is loaded

    if near is None and isinstance(diversity, float) and not diversity:
        return logits_BN.topk(num_picks).indices
    num_candidates = min(max(_most_candidates(near), PER_PICK * num_picks), anchors_ND.shape[0])
    number_BM = (logits_BN if near is None else near.nearness_BN).topk(num_candidates).indices
    logit_BM = logits_BN.gather(1, number_BM)
    column_M = torch.arange(num_candidates, device=logits_BN.device)
    candidate_BMD = anchors_ND[number_BM]
    cos_BMM = candidate_BMD @ candidate_BMD.mT
    gain_BM = logit_BM.new_ones(logit_BM.shape)  # 1 - the share of a candidate that the picks explain
    factor_BPM: Tensor | None = None  # ONNX Runtime cannot gather from a factor of no picks
    picks: list[Tensor] = []
    for number in range(1, num_picks + 1):
        value_BM = logit_BM + diversity * gain_BM.clamp_min(LEAST_GAIN).log()
        if near is not None:
            value_BM = value_BM.masked_fill(~near.allows(number, column_M), -float("inf"))
        best_B1 = value_BM.argmax(dim=1, keepdim=True)
        picks.append(best_B1)
        if number == num_picks:
            break
        left_B1M = cos_BMM.gather(1, best_B1[:, :, None].expand(-1, -1, num_candidates))
        if factor_BPM is not None:
            at_BP1 = factor_BPM.gather(2, best_B1[:, None].expand(-1, number - 1, -1))
            left_B1M = left_B1M - at_BP1.mT @ factor_BPM
        new_B1M = left_B1M / gain_BM.gather(1, best_B1).clamp_min(LEAST_GAIN).sqrt()[:, None]
        factor_BPM = new_B1M if factor_BPM is None else torch.cat([factor_BPM, new_B1M], dim=1)
        gain_BM = gain_BM - new_B1M[:, 0] ** 2
        logit_BM = logit_BM.scatter(1, best_B1, -float("inf"))
    return number_BM.gather(1, torch.cat(picks, dim=1))


def _most_candidates(near: Near | None) -> int:
    """Candidates of a batch where the picks are few. Bounds in a tensor are not read: reading would wait for a GPU."""
    return math.ceil(near.num) if near is not None and isinstance(near.num, int | float) else NUM_CANDIDATES
