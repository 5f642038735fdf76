"""Matching of a target's rows to the noise rows. A set has no order, so training may choose one.

Rows matched by an assignment give paths that do not cross, so few steps of an ODE solver suffice; see equivariant flow
matching (arXiv 2306.15030) and minibatch couplings (arXiv 2302.00482). The matching holds for ``z = Z + sigma eps``
along a whole path, so it suits the ODE solvers. The SDE solver adds new noise at each step, which is not matched.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def match_rows(target_BLD: Tensor, eps_BLD: Tensor) -> Tensor:
    """Permute the rows of each target to maximize the sum of their dot products with the noise rows.

    For target rows of equal norm this minimizes the sum of squared distances between target and noise rows.

    Returns:
        The permuted targets, (B, L, D).
    """
    gain_BLL = torch.einsum("bld,bmd->blm", eps_BLD, target_BLD).cpu().numpy()
    order_BL = np.stack([linear_sum_assignment(gain_LL, maximize=True)[1] for gain_LL in gain_BLL])
    index_BL = torch.from_numpy(order_BL).to(target_BLD.device)
    return target_BLD.gather(1, index_BL[:, :, None].expand_as(target_BLD))
