"""The projection keeps cosines and does not subtract the mean."""

from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.encoders.encoder import fit_projection, project, second_moment
from r4t_ray.errors import ConfigError
from r4t_ray.types import Array


def unit_rows(rng: np.random.Generator, num: int, dim: int) -> Array:
    rows = rng.normal(size=(num, dim)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def test_cosines_are_exact_when_rows_lie_in_a_subspace() -> None:
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(16, 4)))
    shifted = unit_rows(rng, 50, 4) + np.float32(0.7)
    emb_MD = (shifted / np.linalg.norm(shifted, axis=1, keepdims=True) @ basis.T).astype(np.float32)
    out = project(emb_MD, fit_projection(second_moment(emb_MD), 4))
    assert np.abs(out @ out.T - emb_MD @ emb_MD.T).max() < 1e-5


def test_agrees_with_the_singular_vectors_of_the_rows() -> None:
    emb_MD = unit_rows(np.random.default_rng(1), 40, 12)
    projection = fit_projection(second_moment(emb_MD), 5)
    right = np.linalg.svd(emb_MD.astype(np.float64), full_matrices=False)[2][:5].T
    assert np.abs(np.abs((projection * right).sum(axis=0)) - 1).max() < 1e-5
    assert (projection[np.abs(projection).argmax(axis=0), np.arange(5)] > 0).all()


def test_moments_of_parts_add_up_and_three_rows_are_enough() -> None:
    emb_MD = unit_rows(np.random.default_rng(2), 3, 8)
    whole = fit_projection(second_moment(emb_MD), 8)
    parts = fit_projection(second_moment(emb_MD[:1]) + second_moment(emb_MD[1:]), 8)
    assert np.abs(whole.T @ whole - np.eye(8)).max() < 1e-6
    assert np.abs(np.linalg.norm(project(emb_MD, parts), axis=1) - 1).max() < 1e-6


def test_a_width_above_the_model_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"encoder\.dim"):
        fit_projection(np.eye(4), 5)
