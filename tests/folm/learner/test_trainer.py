"""The trainer: samples without a reward, the functions that settings name, and the check against the engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from pydantic import ValidationError
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from r4t_ray.encoders import resolve_model
from r4t_ray.errors import EngineError
from r4t_ray.folm.learner import ADVANTAGES, LOSSES
from r4t_ray.folm.learner import trainer as trainer_module
from r4t_ray.folm.learner.build import grpo_arguments
from r4t_ray.folm.learner.rollout_bridge import set_reward
from r4t_ray.folm.learner.settings import SoftGRPOConfig
from r4t_ray.folm.learner.trainer import SoftGRPOTrainer, check_gaps
from r4t_ray.folm.policy.engines import factory
from r4t_ray.folm.policy.engines.factory import engine_dtype
from r4t_ray.folm.policy.engines.interface import EngineConfig
from r4t_ray.folm.settings import FolmConfig

REWARDS = [1.0, math.nan, 0.0, 0.5]
RATES = {r"^model\.norm": 0.2, r"layers\.0\..*layernorm": 0.1}
LENGTHS = [3, 2, 1, 4]


def rollout(prompts: list[str], trainer: Any) -> dict[str, Any]:
    assert len(prompts) == len(REWARDS)
    return {
        "prompt_ids": [[5, 6]] * 4,
        "completion_ids": [[7] * length for length in LENGTHS],
        "logprobs": [[-1.0] * length for length in LENGTHS],
        "set_reward": REWARDS,
    }


@pytest.fixture
def trainer(make_trainer: Callable[..., SoftGRPOTrainer]) -> SoftGRPOTrainer:
    return make_trainer()


@pytest.fixture
def make_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SoftGRPOTrainer]:
    """A function: a trainer of a tiny model on four samples."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")  # trl is pinned

    def make(engine_bf16: bool = False, max_logp_gap: float | None = 1e9) -> SoftGRPOTrainer:
        torch.manual_seed(0)
        shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        model = LlamaForCausalLM(LlamaConfig(vocab_size=5120, **shape))
        base = resolve_model("package:r4t_ray/folm/base_model")
        grpo = SoftGRPOConfig(
            num_steps=1,
            queries_per_step=1,
            num_generations=4,
            micro_batch_size=4,
            learning_rate=RATES,
            max_logp_gap=max_logp_gap,
        )
        return SoftGRPOTrainer(
            model=model,
            processing_class=AutoTokenizer.from_pretrained(base, padding_side="left"),
            reward_funcs=set_reward,
            rollout_func=rollout,
            train_dataset=Dataset.from_dict({"prompt": ["a"] * 4}),
            args=grpo_arguments(grpo, FolmConfig(), tmp_path, 0),
            grpo=grpo,
            bf16=False,
            engine_bf16=engine_bf16,
        )

    return make


def test_a_sample_without_a_reward_enters_neither_the_mean_nor_the_loss(trainer: SoftGRPOTrainer) -> None:
    batch = trainer._generate_and_score_completions([{"prompt": "a"} for _ in REWARDS])
    assert batch["completion_mask"].sum(dim=1).tolist() == [3, 0, 1, 4]
    # The mean of 1, 0 and 0.5 is 0.5, and their sample standard deviation is 0.5.
    expected = torch.tensor([1.0, 0.0, -1.0, 0.0])
    torch.testing.assert_close(batch["advantages"], expected, atol=1e-3, rtol=0)


def test_the_default_advantage_is_bit_equal_to_the_advantage_of_trl(trainer: SoftGRPOTrainer) -> None:
    batch = trainer._generate_and_score_completions([{"prompt": "a"} for _ in REWARDS])
    assert batch["advantages"].tolist() == list(trainer._logs["advantages"])


def test_advantage_and_loss_are_the_functions_that_the_settings_name(
    trainer: SoftGRPOTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ADVANTAGES, "rank", lambda reward_QG: torch.arange(4.0).expand_as(reward_QG))
    monkeypatch.setitem(LOSSES, "none", lambda logp_BT, old_BT, advantage_B, mask_BT, **_: advantage_B.sum())
    trainer.grpo = trainer.grpo.model_copy(update={"advantage": "rank", "loss": "none"})
    batch = trainer._generate_and_score_completions([{"prompt": "a"} for _ in REWARDS])
    assert batch["advantages"].tolist() == [0.0, 1.0, 2.0, 3.0]
    trainer.current_gradient_accumulation_steps = 1
    assert float(trainer._compute_loss(trainer.model, batch)) == 6.0
    with pytest.raises(ValidationError, match="write one of group, rank"):
        SoftGRPOConfig(advantage="no such")


def test_the_optimizer_trains_parameters_at_their_rates_and_freezes_the_others(trainer: SoftGRPOTrainer) -> None:
    optimizer = trainer.create_optimizer()
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    layer = "model.layers.0.{}_layernorm.weight"
    assert rates == {"model.norm.weight": 0.2} | {layer.format(at): 0.1 for at in ("input", "post_attention")}
    assert {name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad} == set(rates)
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.95)}
    assert trainer.create_optimizer() is optimizer


def test_evenly_spaced_samples_of_a_batch_are_compared_with_the_learner(
    trainer: SoftGRPOTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[list[int]] = []

    def logps(model: Any, batch: Any) -> torch.Tensor:
        checked.append(batch["completion_mask"].sum(dim=1).tolist())
        return batch["sampling_per_token_logps"] + 0.25

    monkeypatch.setattr(trainer_module, "CHECKED_SAMPLES", 2)
    monkeypatch.setattr(trainer, "_completion_logps", logps)
    trainer.max_logp_gap = 0.26
    trainer._generate_and_score_completions([{"prompt": "a"} for _ in REWARDS])
    assert checked == [[LENGTHS[0], LENGTHS[2]]]
    assert trainer.num_iterations == 2
    trainer.max_logp_gap = 0.24
    with pytest.raises(EngineError, match=r"up to 0\.25 away from the learner's, 4 of 4 tokens"):
        trainer._generate_and_score_completions([{"prompt": "a"} for _ in REWARDS])
    trainer.is_on_policy = False
    trainer._generate_and_score_completions([{"prompt": "a"} for _ in REWARDS])


@pytest.mark.parametrize(
    ("engine_bf16", "given", "expected"), [(False, None, 0.001), (True, None, 0.5), (True, 0.2, 0.2), (False, 0.2, 0.2)]
)
def test_the_bound_follows_from_the_precision_of_the_engine(
    make_trainer: Callable[..., SoftGRPOTrainer], engine_bf16: bool, given: float | None, expected: float
) -> None:
    trainer = make_trainer(engine_bf16=engine_bf16, max_logp_gap=given)
    assert trainer.max_logp_gap == expected
    assert trainer.engine_dtype == ("bfloat16" if engine_bf16 else "float32")


def gaps(num: int, num_large: int, large: float = 3.0) -> torch.Tensor:
    gap_N = torch.full((num,), 0.0004)
    gap_N[:num_large] = large
    return gap_N


def test_in_float32_one_token_ends_the_run_and_in_bfloat16_one_percent_does_not() -> None:
    check_gaps(gaps(1000, 0), 0.001, "float32", 7)
    with pytest.raises(EngineError, match=r"1 of 1000 tokens by .*at most 0 such tokens .0%., .*computes in float32"):
        check_gaps(gaps(1000, 1), 0.001, "float32", 7)
    check_gaps(gaps(1000, 10), 0.5, "bfloat16", 7)
    check_gaps(gaps(30, 1), 0.5, "bfloat16", 7)  # a small batch too may have one such token
    with pytest.raises(
        EngineError, match=r"at step 7: .* 11 of 1000 tokens .*at most 10 such tokens .1%., .*in bfloat16"
    ):
        check_gaps(gaps(1000, 11), 0.5, "bfloat16", 7)
    with pytest.raises(EngineError, match="2 of 30 tokens"):
        check_gaps(gaps(30, 2), 0.5, "bfloat16", 7)
    for dtype in ("float32", "bfloat16"):
        with pytest.raises(EngineError, match="up to nan"):
            check_gaps(gaps(1000, 1, math.nan), 0.5, dtype, 7)


def test_the_precision_of_an_engine_that_follows_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_dtype(EngineConfig(type="transformers", dtype="auto")) == "float32"
    assert engine_dtype(EngineConfig(type="transformers", dtype="bfloat16")) == "bfloat16"
    monkeypatch.setattr(factory.importlib.util, "find_spec", lambda name: "here")
    assert engine_dtype(EngineConfig(type="auto", dtype="auto")) == "bfloat16"
    assert engine_dtype(EngineConfig(type="auto")) == "float32"
