"""Principal directions through the origin: the linear map that keeps cosines best.

The mean is *not* subtracted. The top-d eigenvectors of the raw second moment X^T X give the rank-d matrix nearest to
the Gram matrix X X^T (Eckart and Young, 1936), and for unit rows the Gram matrix holds the cosines; subtracting the
mean would move the origin from which cosines are taken, and with it their order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from r4t_ray.errors import ConfigError
from r4t_ray.types import Array


def second_moment(emb_MD: Array) -> NDArray[np.float64]:
    """X^T X in float64, shape (D, D); moments of parts add up."""
    rows_MD = emb_MD.astype(np.float64)
    return np.asarray(rows_MD.T @ rows_MD)


def fit_projection(moment_DD: NDArray[np.float64], dim: int) -> Array:
    """Orthonormal columns that span the ``dim`` strongest directions.

    Args:
        moment_DD: Sum of ``second_moment`` over all rows.
        dim: Width to keep, at most D.

    Returns:
        Shape (D, dim), strongest first; each column's largest entry is positive, so that the sign is defined.

    Raises:
        ConfigError: ``dim`` is larger than D.
    """
    native_dim = moment_DD.shape[0]
    if dim > native_dim:
        raise ConfigError("encoder.dim", str(dim), f"at most the model's width {native_dim}", "lower encoder.dim")
    _, vectors_DD = np.linalg.eigh(moment_DD)
    top_Dd = vectors_DD[:, ::-1][:, :dim]
    strongest = np.abs(top_Dd).argmax(axis=0)
    signs = np.sign(top_Dd[strongest, np.arange(dim)])
    return np.ascontiguousarray(top_Dd * signs, dtype=np.float32)


def project(emb_MD: Array, projection_Dd: Array) -> Array:
    """Project rows and make them unit; a row that the projection sends to zero stays zero."""
    out_Md = emb_MD @ projection_Dd
    norms_M1 = np.linalg.norm(out_Md, axis=1, keepdims=True)
    return np.asarray(out_Md / np.maximum(norms_M1, np.finfo(np.float32).tiny), dtype=np.float32)
