from __future__ import annotations

import sys
from subprocess import run

import pytest

from r4t_ray.config import parse_settings
from r4t_ray.errors import ConfigError
from r4t_ray.evaluation import EvaluationConfig
from r4t_ray.evaluation.methods import METHODS


def test_defaults_are_the_budget_of_the_paper_and_all_methods():
    config = EvaluationConfig()
    assert (config.k, config.n, config.temperature, config.latency_batches) == (10, 10, 0.9, (1, 8, 64))
    assert config.methods == tuple(METHODS)
    assert config.latency_repeats == 3


@pytest.mark.parametrize(
    "settings",
    [
        {"k": 0},
        {"n": 0},
        {"methods": []},
        {"methods": ["popular", "popular"]},
        {"methods": ["no_such"]},
        {"num_candidates": 0},
        {"latency_batches": [8, 8]},
        {"latency_batches": [0]},
        {"max_queries": 0},
        {"solver": "no_such"},
        {"tempreature": 1.0},
    ],
)
def test_invalid_settings_are_named(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        parse_settings(EvaluationConfig, settings, "cookbook.yaml: evaluation")


def test_settings_load_no_heavy_library():
    heavy = "{'ray', 'torch', 'faiss', 'vllm', 'matplotlib', 'transformers'}"
    code = f"import sys, r4t_ray.evaluation; print(sorted({heavy} & set(sys.modules)))"
    assert run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
