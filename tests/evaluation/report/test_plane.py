from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.evaluation.report.plane import Curve, margins
from r4t_ray.evaluation.results import Result


def test_a_method_is_compared_with_a_curve_at_its_own_vendi() -> None:
    """Settings with mean vendi 0.2, 0.4 and 0.8; at 0.5 the curve is a quarter of the way from the second."""
    curve = Curve(
        method="mmr",
        settings=(3.0, 1.0, 2.0),
        precision_SB=np.array([[0.1, 0.1], [1.0, 0.8], [0.6, 0.4]]),
        vendi_SB=np.array([[0.8, 0.8], [0.2, 0.2], [0.3, 0.5]]),
    )
    found_B = curve.precision_at(0.5)
    assert found_B is not None
    assert found_B.tolist() == pytest.approx([0.475, 0.325])
    assert curve.precision_at(0.1) is None
    assert curve.precision_at(0.9) is None
    values = {"theme_precision": np.array([0.575, 0.525]), "vendi": np.array([0.4, 0.6])}
    ours = Result(task="oar", method="r4t_diffusion", values=values, latency={}, answer_ms=1.0)
    margin = margins([ours], [curve], 50, 0)["mmr"]
    assert (margin.value, margin.low, margin.high) == pytest.approx((0.15, 0.1, 0.2))
    assert margins([], [curve], 50, 0) == {}
