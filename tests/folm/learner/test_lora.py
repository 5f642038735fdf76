"""Adapters: the parameters that train, and their merge into all weights that leave the learner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from r4t_ray.encoders import resolve_model
from r4t_ray.errors import ConfigError
from r4t_ray.folm.dry_run import plan
from r4t_ray.folm.learner.build import grpo_arguments
from r4t_ray.folm.learner.lora import LoRAConfig, add_adapters, merge_adapters
from r4t_ray.folm.learner.optimizer import match_rates
from r4t_ray.folm.learner.settings import SoftGRPOConfig
from r4t_ray.folm.policy.loading import load_trainable
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.weights.disk import publish_weights

BASE = resolve_model("package:r4t_ray/folm/base_model")
LORA = LoRAConfig(rank=4, alpha=8)
GRPO = {"oar": {"queries_per_step": 4}}
IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture
def model() -> Any:
    return add_adapters(load_trainable(BASE), LORA, seed=3)


Publish = Callable[[Any], Any]


@pytest.fixture
def published(trainer_at: Callable[[Any, int], Any], tmp_path: Path) -> Publish:
    """``model -> model``: publish the weights and load them as an engine does."""
    return lambda model: AutoModelForCausalLM.from_pretrained(
        publish_weights(trainer_at(model, 0), tmp_path), dtype=torch.float32
    )


def test_fresh_adapters_change_nothing_and_are_the_same_for_the_same_seed(model: Any, published: Publish) -> None:
    base, again = load_trainable(BASE).state_dict(), add_adapters(load_trainable(BASE), LORA, seed=3)
    out = published(model).state_dict()
    assert out.keys() == base.keys()
    assert all(torch.equal(out[name], base[name]) for name in base)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_published_weights_answer_as_the_adapted_model_and_do_not_change_it(model: Any, published: Publish) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
        before = model(IDS).logits
        merged = published(model)(IDS).logits
        torch.testing.assert_close(merged, before, atol=1e-4, rtol=0)
        assert torch.equal(model(IDS).logits, before)
        assert (before - load_trainable(BASE)(IDS).logits).abs().max() > 0.1


def test_only_adapters_have_a_rate(model: Any) -> None:
    names = match_rates(model, {"": 1e-4})[""]
    # Seven linear layers in each of four blocks, two matrices each; the tied head has none.
    assert len(names) == 4 * 7 * 2
    assert all("lora_" in name for name in names)


def test_merging_is_exact_inside_the_autocast_of_a_bfloat16_engine(model: Any) -> None:
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    exact = merge_adapters(model, model.state_dict())[1]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = merge_adapters(model, model.state_dict())[1]
    assert all(torch.equal(exact[name], rounded[name]) for name in exact)


@pytest.mark.filterwarnings("ignore:Model has .tie_word_embeddings:UserWarning")
@pytest.mark.parametrize("targets", [("nowhere",), ("embed_tokens",), ("lm_head",)])
def test_targets_that_cannot_be_merged_are_refused(targets: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"folm\.lora\.target_modules: got .*write all-linear"):
        add_adapters(load_trainable(BASE), LoRAConfig(target_modules=targets), seed=0)


def test_a_plan_counts_adapters_by_hand() -> None:
    grpo = {"oar": SoftGRPOConfig(learning_rate=1e-4)}
    planned, plain = (plan(FolmConfig(grpo=grpo, lora=lora), "oar") for lora in (LORA, None))
    # A layer of i inputs and o outputs has rank * (i + o) numbers: q and o 256 + 256, k and v 256 + 128, MLP 256 + 768.
    assert planned.num_trained == 4 * 4 * (2 * 512 + 2 * 384 + 3 * 1024)
    assert planned.num_parameters == plain.num_parameters == plain.num_trained
    assert planned.engine_memory == plain.engine_memory
    assert planned.learner_memory["Adam"] == 8 * planned.num_trained


def test_fsdp_needs_several_learners_with_gpus_and_reaches_the_trainer(tmp_path: Path) -> None:
    for few in ({"num": 2}, {"gpus": 1}):
        with pytest.raises(ValidationError, match="fsdp shards over learners with a GPU each"):
            FolmConfig(fsdp=True, learner=few, grpo=GRPO)
    sharded = FolmConfig(fsdp=True, learner={"num": 2, "gpus": 1}, grpo=GRPO)
    whole = FolmConfig(learner={"num": 2, "gpus": 1}, grpo=GRPO)
    halves, full = (plan(config, "oar").learner_memory for config in (sharded, whole))
    assert all(halves[name] == full[name] // 2 for name in ("weights, float32", "gradients", "Adam"))
    assert grpo_arguments(sharded.grpo.oar, sharded, tmp_path, 0).fsdp_config["version"] == 2
    assert not grpo_arguments(whole.grpo.oar, whole, tmp_path, 0).fsdp
