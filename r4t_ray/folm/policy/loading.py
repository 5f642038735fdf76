"""Language models loaded for training, from a hub, a directory or a GGUF file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

from r4t_ray.errors import ConfigError


def model_source(resolved: str | Path) -> dict[str, str]:
    """The arguments of ``from_pretrained`` for a resolved model reference.

    Args:
        resolved: A Hugging Face directory, a hub id, a GGUF file, or a directory with one GGUF file and no config.json.

    Raises:
        ConfigError: There are several GGUF files, or the package that reads them is not installed.
    """
    path = Path(resolved)
    files = [path] if path.suffix == ".gguf" else [] if (path / "config.json").exists() else sorted(path.glob("*.gguf"))
    if not files:
        return {"pretrained_model_name_or_path": str(resolved)}
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ConfigError("folm.base_model", f"{path} with {names}", "one GGUF file", "name one of them: DIR/FILE.gguf")
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError("folm.base_model", str(files[0]), "the package that reads GGUF", "pip install gguf")
    return {"pretrained_model_name_or_path": str(files[0].parent), "gguf_file": files[0].name}


def load_trainable(resolved: str | Path) -> Any:
    """A causal language model with float32 weights, from a reference that ``model_source`` accepts.

    GGUF weights are dequantised. A multimodal model is reduced to its language model. On a CPU attention is eager,
    because the backward pass of torch's fused attention takes 40% of a training step there.
    """
    from transformers import AutoModelForCausalLM, GgufConfig

    source, options = model_source(resolved), {}
    if "gguf_file" in source:
        options["quantization_config"] = GgufConfig(dequantize=True)
    attention = "sdpa" if torch.cuda.is_available() else "eager"
    model = AutoModelForCausalLM.from_pretrained(
        **source, **options, dtype=torch.float32, attn_implementation=attention
    )
    config = model.config.get_text_config()
    return model if config is model.config else language_part(model, config)


def language_part(model: Any, config: Any) -> Any:
    """The language model inside a multimodal model such as Gemma3-4B, with the same weights.

    Raises:
        ConfigError: The model does not keep its language model where Gemma3 does.
    """
    from transformers import AutoModelForCausalLM

    inner = getattr(model.model, "language_model", None)
    if inner is None:
        raise ConfigError(
            "folm.base_model",
            f"{type(model).__name__}, which has no model.language_model",
            "a language model, or a multimodal one built as Gemma3 is",
            "name a text-only checkpoint",
        )
    with torch.device("meta"):
        alone = AutoModelForCausalLM.from_config(config)
    alone.model, alone.lm_head, alone.generation_config = inner, model.lm_head, model.generation_config
    return alone
