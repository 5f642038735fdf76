"""Matching of a target's rows to the rows of noise. A set has no order, so training may choose one.

Rows matched by an assignment give paths that do not cross, as in equivariant flow matching (arXiv 2306.15030) and
minibatch couplings (arXiv 2302.00482): a few steps of an ODE solver then suffice. The coupling holds for
``z = Z + sigma eps`` along a whole path, so it suits the ODE samplers; the SDE draws fresh noise, which is not matched.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def match_rows(target_BLD: Tensor, eps_BLD: Tensor) -> Tensor:
    """Permute the rows of each target so that the sum of their products with the noise rows is largest.

    For rows of equal length the sum of squared distances between target and noise rows is then smallest.

    Returns:
        The permuted targets, (B, L, D).
    """
    gain_BLL = torch.einsum("bld,bmd->blm", eps_BLD, target_BLD).cpu().numpy()
    order_BL = np.stack([linear_sum_assignment(gain_LL, maximize=True)[1] for gain_LL in gain_BLL])
    index_BL = torch.from_numpy(order_BL).to(target_BLD.device)
    return target_BLD.gather(1, index_BL[:, :, None].expand_as(target_BLD))
