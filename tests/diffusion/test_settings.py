from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from r4t_ray.config import PerTask, SharingWorkers
from r4t_ray.diffusion import DiffusionConfig, NetworkConfig, NoiseConfig, OptimizerConfig, StudentConfig
from r4t_ray.diffusion.settings import NetworkSettings, sigma_data_of
from r4t_ray.experiment import Experiment


def test_the_preset_paper_is_table_3() -> None:
    experiment = Experiment.model_validate({"preset": "paper", "catalogue": {"type": "cookbook"}})
    config = experiment.diffusion
    optimizer, sampler = config.optimizer, config.sampler.wscr
    network = config.network.for_pairs(experiment.pairs.num_rows, experiment.encoder.dim)
    noise = config.noise.for_width(network.dim)
    assert (network.num_rows, network.dim, network.hidden_size, network.mlp_size) == (12, 128, 1024, 1024)
    assert (network.num_heads, network.num_layers, network.dropout, network.attention_dropout) == (16, 6, 0.1, 0.1)
    assert (optimizer.learning_rate, optimizer.warmup_steps, optimizer.num_steps) == (3e-4, 20_000, 10_000_000)
    assert (optimizer.batch_size, optimizer.ema_decay) == (512, 0.9999)
    assert (noise.sigma_min, noise.sigma_max, noise.sigma_data) == (1e-4, 80.0, 0.088)
    assert (sampler.solver, sampler.num_steps, sampler.guidance, config.query_dropout) == ("sde", 256, 0.1, 0.1)
    # These two settings are the paper's tangent schedule, as docs/paper.md explains.
    assert (noise.train_levels, sampler.levels, config.row_matching) == ("log_uniform", "karras", "random")
    assert (network.num_anchors, config.prior_weight, config.student) == (0, 0, PerTask(oar=None, wscr=None))
    assert optimizer.max_grad_norm is None


@pytest.mark.parametrize("name", ["num_rows", "dim"])
def test_a_derived_size_of_the_network_cannot_be_set(name: str) -> None:
    with pytest.raises(ValidationError, match=rf"network\.{name}"):
        DiffusionConfig.model_validate({"network": {name: 12}})


def test_the_derived_sigma_data_cannot_be_set() -> None:
    with pytest.raises(ValidationError, match=r"noise\.sigma_data"):
        DiffusionConfig.model_validate({"noise": {"sigma_data": 0.088}})
    assert [sigma_data_of(dim) for dim in (16, 128, 768)] == [0.25, 0.088, 0.036]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="multiple of num_heads"):
        NetworkConfig(hidden_size=100, num_heads=16, num_anchors=0)
    with pytest.raises(ValidationError, match="below sigma_max"):
        NoiseConfig(sigma_min=2.0, sigma_max=1.0)
    with pytest.raises(ValidationError, match=r"multiple of workers\.num"):
        DiffusionConfig(workers=SharingWorkers(num=3), optimizer=OptimizerConfig(batch_size=512))
    student = StudentConfig(optimizer=OptimizerConfig(batch_size=64))
    with pytest.raises(ValidationError, match=r"student\.oar\.optimizer\.batch_size \(64\) must be a multiple"):
        DiffusionConfig(
            workers=SharingWorkers(num=3), optimizer=OptimizerConfig(batch_size=513), student={"oar": student}
        )
    with pytest.raises(ValidationError, match=r"set network\.num_anchors"):
        DiffusionConfig(prior_weight=1.0, network=NetworkSettings(num_anchors=0))


def test_a_worker_has_a_thread_for_every_core_it_holds() -> None:
    import torch

    from r4t_ray.diffusion.training.worker import _set_up_process

    before = torch.get_num_threads()
    try:
        for cores, threads in ((1.0, 1), (1.5, 2), (3.0, 3)):
            _set_up_process(DiffusionConfig(workers=SharingWorkers(cpus=cores)), rank=1)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_settings_load_neither_torch_nor_ray() -> None:
    code = "import sys, r4t_ray.diffusion; print(sorted({'torch', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
