"""The training benchmark: its random pairs, and one turn of every variant through real Ray Train."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import train_diffusion
from r4t_ray.diffusion import DiffusionConfig, NetworkConfig


def test_operations_of_a_pair_grow_with_the_network() -> None:
    def flops(hidden: int) -> float:
        network = NetworkConfig(num_rows=2, dim=8, hidden=hidden, mlp=hidden, num_heads=2, num_layers=1)
        return train_diffusion.update_flops(DiffusionConfig(network=network))

    assert 3 < flops(256) / flops(128) < 4


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_variant_trains_and_is_said(
    ray_session: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rates.json"
    asked = "--pairs 40 --batch 8 --turns 1 --windows 2 --window 3 --threads 1"
    monkeypatch.setattr(sys, "argv", ["train_diffusion", *asked.split(), "--out", str(out)])
    train_diffusion.main()
    rates = json.loads(out.read_text())["samples_per_s"]
    assert list(rates) == list(train_diffusion.VARIANTS)
    assert all(len(made) == 1 and made[0] > 0 for made in rates.values())
    assert "streamed" in capsys.readouterr().out
