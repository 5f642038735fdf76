"""The most likely anchors of a query, any number of them, in one evaluation and without random numbers.

Not in arXiv 2603.06397. At z = 0 and sigma_max all rows are equal and depend on the query alone. The weights of the
anchor mixture are then the shares of the rows that the network expects at each anchor. The answer holds the rows that
most samples would hold. It is deterministic and less diverse than many samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from r4t_ray.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from r4t_ray.diffusion.samplers.solver import Denoise


def top_anchors(
    denoise: Denoise, start_BLD: Tensor, sigmas_S: Tensor, draw: Callable[[], Tensor] | None = None
) -> Tensor:
    """Return the R anchors with the highest logits at z = 0, the highest first; all are different.

    R, the rows of ``start_BLD``, may differ from the L rows of training. Only the shape of ``start_BLD`` and the first
    level of ``sigmas_S`` are used. ``draw`` is not used.

    Raises:
        ConfigError: The network has fewer anchors than rows.
    """
    num_queries, num_rows, dim = start_BLD.shape
    num_anchors = 0 if denoise.anchors_ND is None else denoise.anchors_ND.shape[0]
    if denoise.anchors_ND is None or num_anchors < num_rows:
        raise ConfigError(
            "sampler: solver 'top_anchors'",
            f"a network with {num_anchors} anchors",
            f"num_rows = {num_rows} or more",
            "take another solver, or train with diffusion.network.num_anchors set",
        )
    # Equal rows attend only to copies of themselves, so one row gives the output of all.
    row_B1D = start_BLD.new_zeros(num_queries, 1, dim)
    logits_BN = denoise.anchor_logits(row_B1D, sigmas_S[0] * start_BLD.new_ones(num_queries))[:, 0]
    return denoise.anchors_ND[logits_BN.topk(num_rows).indices]
