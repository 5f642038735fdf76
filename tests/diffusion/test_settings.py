from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from r4t_ray.diffusion import DiffusionConfig, NetworkConfig, NoiseConfig, OptimizerConfig


def test_defaults_are_table_3() -> None:
    config = DiffusionConfig()
    network, optimizer, noise, sampler = config.network, config.optimizer, config.noise, config.sampler_of("wscr")
    assert (network.num_rows, network.dim, network.hidden, network.mlp) == (12, 128, 1024, 1024)
    assert (network.num_heads, network.num_layers, network.dropout, network.attention_dropout) == (16, 6, 0.1, 0.1)
    assert (optimizer.peak_lr, optimizer.warmup_steps, optimizer.num_steps) == (3e-4, 20_000, 10_000_000)
    assert (optimizer.batch_size, optimizer.ema_decay) == (512, 0.9999)
    assert (noise.sigma_min, noise.sigma_max, noise.sigma_data) == (1e-4, 80.0, 0.088)
    assert (sampler.solver, sampler.num_steps, sampler.guidance, config.query_dropout) == ("sde", 256, 0.1, 0.1)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="multiple of num_heads"):
        NetworkConfig(hidden=100, num_heads=16)
    with pytest.raises(ValidationError, match="below sigma_max"):
        NoiseConfig(sigma_min=2.0, sigma_max=1.0)
    with pytest.raises(ValidationError, match="multiple of num_workers"):
        DiffusionConfig(num_workers=3, optimizer=OptimizerConfig(batch_size=512))
    with pytest.raises(ValidationError, match=r"set network\.num_anchors"):
        DiffusionConfig(prior_weight=1.0)


def test_settings_load_neither_torch_nor_ray() -> None:
    code = "import sys, r4t_ray.diffusion; print(sorted({'torch', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
