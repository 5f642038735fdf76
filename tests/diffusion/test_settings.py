from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from r4t_ray.diffusion import DiffusionConfig, NetworkConfig, NoiseConfig, OptimizerConfig
from r4t_ray.diffusion.settings import StudentConfig


def test_defaults_are_table_3() -> None:
    config = DiffusionConfig()
    network, optimizer, noise, sampler = config.network, config.optimizer, config.noise, config.sampler_of("wscr")
    assert (network.num_rows, network.dim, network.hidden, network.mlp) == (12, 128, 1024, 1024)
    assert (network.num_heads, network.num_layers, network.dropout, network.attention_dropout) == (16, 6, 0.1, 0.1)
    assert (optimizer.peak_lr, optimizer.warmup_steps, optimizer.num_steps) == (3e-4, 20_000, 10_000_000)
    assert (optimizer.batch_size, optimizer.ema_decay) == (512, 0.9999)
    assert (noise.sigma_min, noise.sigma_max, noise.sigma_data) == (1e-4, 80.0, 0.088)
    assert (sampler.solver, sampler.num_steps, sampler.guidance, config.query_dropout) == ("sde", 256, 0.1, 0.1)
    # These two are its tangent schedule, as docs/paper.md reads it.
    assert (noise.train_levels, sampler.levels, config.row_matching) == ("log_uniform", "karras", "random")
    assert (network.num_anchors, config.prior_weight, config.student) == (0, 0, {})
    assert optimizer.max_grad_norm is None


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="multiple of num_heads"):
        NetworkConfig(hidden=100, num_heads=16)
    with pytest.raises(ValidationError, match="below sigma_max"):
        NoiseConfig(sigma_min=2.0, sigma_max=1.0)
    with pytest.raises(ValidationError, match="multiple of num_workers"):
        DiffusionConfig(num_workers=3, optimizer=OptimizerConfig(batch_size=512))
    student = StudentConfig(optimizer=OptimizerConfig(batch_size=64))
    with pytest.raises(ValidationError, match=r"student\.oar\.optimizer\.batch_size \(64\) must be a multiple"):
        DiffusionConfig(num_workers=3, optimizer=OptimizerConfig(batch_size=513), student={"oar": student})
    with pytest.raises(ValidationError, match=r"set network\.num_anchors"):
        DiffusionConfig(prior_weight=1.0)


def test_a_worker_has_a_thread_for_every_core_it_holds() -> None:
    import torch

    from r4t_ray.diffusion.training.worker import _set_up_process

    before = torch.get_num_threads()
    try:
        for cores, threads in ((1.0, 1), (1.5, 2), (3.0, 3)):
            _set_up_process(DiffusionConfig(cpus_per_worker=cores), rank=1)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_settings_load_neither_torch_nor_ray() -> None:
    code = "import sys, r4t_ray.diffusion; print(sorted({'torch', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
