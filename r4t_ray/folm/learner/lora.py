"""Low-rank adapters (LoRA, arXiv 2106.09685) on the learner's model, merged into all weights that leave it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt

from r4t_ray.config import Settings
from r4t_ray.errors import ConfigError
from r4t_ray.folm.policy.loading import model_source


class LoRAConfig(Settings):
    """Low-rank adapters: W + (alpha / rank) B A, where W is frozen and A has ``rank`` rows.

    There is no dropout, because the learner would then not see the probabilities that the engine sampled from.
    """

    rank: PositiveInt = Field(
        16, description="Rank of each adapter. A higher rank can learn more and needs more memory."
    )
    alpha: PositiveInt = Field(32, description="Scale of the adapters: their output is multiplied by alpha / rank.")
    target_modules: Literal["all-linear"] | tuple[str, ...] = Field(
        "all-linear",
        description="Linear layers that get adapters, by the last part of their names. `all-linear` is every linear "
        "layer except the head.",
    )


def is_adapter(name: str) -> bool:
    """Whether ``name`` is the name of an adapter's parameter."""
    return ".lora_" in name


def add_adapters(model: Any, config: LoRAConfig, seed: int) -> Any:
    """Add adapters to ``model`` and return a peft.PeftModel. Only the adapters are trainable.

    Fresh adapters do not change the model's output.

    Raises:
        ConfigError: ``target_modules`` match no layer, or match a layer that ``merge_adapters`` cannot merge.
    """
    import peft
    from peft.tuners.lora import LoraLayer

    targets = config.target_modules if config.target_modules == "all-linear" else list(config.target_modules)
    settings = peft.LoraConfig(
        task_type="CAUSAL_LM", r=config.rank, lora_alpha=config.alpha, lora_dropout=0.0, target_modules=targets
    )
    head = model.get_output_embeddings()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            adapted = peft.get_peft_model(model, settings)
        except ValueError as error:
            raise _refusal(config, str(error)) from error
    layers = {name: layer.base_layer for name, layer in adapted.named_modules() if isinstance(layer, LoraLayer)}
    unfit = [name for name, layer in layers.items() if type(layer) is not torch.nn.Linear or layer is head]
    if unfit:
        raise _refusal(config, f"{unfit[0]}, which is not a linear layer inside the model")
    return adapted


def _refusal(config: LoRAConfig, got: str) -> ConfigError:
    return ConfigError(
        "folm.lora.target_modules",
        f"{config.target_modules}: {got}",
        "the last parts of the names of linear layers, except the head",
        "write all-linear, or names such as [q_proj, v_proj]",
    )


def merge_adapters(model: Any, state: dict[str, torch.Tensor]) -> tuple[Any, dict[str, torch.Tensor]]:
    """Merge the adapters into the weights.

    Args:
        model: A model from ``add_adapters``. It is not changed, because adding and subtracting would round its weights.
        state: The model's whole state dict.

    Returns:
        The base model, for its configuration and ``save_pretrained``, and the merged state dict. Weights that have
        adapters are in main memory.
    """
    from peft.tuners.lora import LoraLayer

    prefix = "base_model.model."
    merged = {
        name.removeprefix(prefix).replace(".base_layer.", "."): weight
        for name, weight in state.items()
        if not is_adapter(name)
    }
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            down, up = (state[f"{name}.lora_{part}.default.weight"] for part in "AB")
            own = f"{name.removeprefix(prefix)}.weight"
            with torch.autocast(down.device.type, enabled=False):
                merged[own] = merged[own].cpu() + layer.scaling["default"] * (up @ down).cpu()
    return model.get_base_model(), merged


def skeleton(resolved: str | Path, lora: LoRAConfig | None) -> Any:
    """The model of ``load_trainable`` with the adapters of RL, on the meta device: names and shapes, no weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(**model_source(resolved)).get_text_config())
        return add_adapters(model, lora, seed=0) if lora else model
