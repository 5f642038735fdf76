"""Tiny language models with the habits of Llama and Gemma: no pad token, and a chat template that writes BOS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BOS, EOS, END_OF_TURN = "<s>", "</s>", "<end>"
TEMPLATE = (
    "{{ bos_token }}{% for turn in messages %}[{{ turn['role'] }}]{{ turn['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
"""It writes BOS, as the templates of Llama and Gemma do."""


def chat_tokenizer(template: str = TEMPLATE, **options: Any) -> Any:
    """A byte-level tokenizer whose post-processor adds BOS."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    marks = [BOS, EOS, END_OF_TURN]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator([], trainers.BpeTrainer(special_tokens=marks, initial_alphabet=alphabet))
    backend.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 0)])
    marks_of = {"bos_token": BOS, "eos_token": EOS, "padding_side": "left"} | options
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, extra_special_tokens=[END_OF_TURN], **marks_of)
    tokenizer.chat_template = template
    return tokenizer


def tiny_model(kind: str, vocab_size: int) -> Any:
    """Random weights. ``gpt2`` has absolute positions, so that padding on the wrong side changes its output."""
    torch.manual_seed(0)
    if kind == "gpt2":
        shape = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 2048, "initializer_range": 0.5}
        still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        return GPT2LMHeadModel(GPT2Config(vocab_size=vocab_size, bos_token_id=0, eos_token_id=[1, 2], **shape, **still))
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=vocab_size, eos_token_id=[1, 2], initializer_range=0.5, **shape)
    return LlamaForCausalLM(config)


def save_chat_model(folder: Path, kind: str = "llama", **options: Any) -> Path:
    """A model directory. Its generation config names two tokens that end an answer."""
    tokenizer = chat_tokenizer(**options)
    tiny_model(kind, len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
