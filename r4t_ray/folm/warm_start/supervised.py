"""Supervised training on given answers by transformers' Trainer, for the warm start and for pretraining."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch.nn.utils.rnn import pad_sequence

from r4t_ray.config import Operational, Settings
from r4t_ray.errors import ConfigError
from r4t_ray.folm.policy.precision import computes_in_bf16
from r4t_ray.folm.policy.prompt import Example, PromptStyle
from r4t_ray.folm.policy.tokens import answer_tokens, prompt_tokens

IGNORED = -100
"""Label of a token that is not a training target."""
PADDING = {"input_ids": 0, "attention_mask": 0, "labels": IGNORED}
"""Column of a batch -> its value at the positions after a row's end."""


class SupervisedConfig(Settings):
    """Supervised training: one pass of AdamW over the examples, with linear warm-up and cosine decay."""

    batch_size: PositiveInt = Field(32, description="Examples of one optimizer step.")
    learning_rate: PositiveFloat = Field(2e-3, description="Peak learning rate. Lower it for larger models.")
    warmup_steps: NonNegativeInt = Field(20, description="Optimizer steps over which the learning rate rises from 0.")
    weight_decay: float = Field(0.1, description="AdamW's weight decay.")
    max_length: PositiveInt = Field(192, description="Longest example in tokens, prompt included. Longer ones are cut.")
    bf16: bool | None = Field(
        None,
        description="Train in bfloat16 autocast. null does so where the GPU or CPU multiplies bfloat16 in hardware.",
    )
    logging_steps: Operational[PositiveInt] = Field(50, description="Optimizer steps between two logged losses.")


def train_on_examples(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    config: SupervisedConfig,
    seed: int,
    *,
    style: PromptStyle = "compact",
) -> list[dict[str, float]]:
    """Train ``model`` in place to continue each prompt with its completion. Only completions are targets.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        examples: Prompts of ``style`` with their completions.
        config: The settings.
        seed: Seed of the order of the examples.
        style: The style of the prompts.

    Returns:
        The trainer's log: dicts with step, loss and learning rate, of the first step and of the last half.

    Raises:
        ConfigError: No prompt leaves room for an answer in ``config.max_length``.
    """
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    rows = _tokenize(examples, tokenizer, style, config.max_length)
    quiet: Any = {"save_strategy": "no", "report_to": [], "disable_tqdm": True}
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            train_dataset=Dataset.from_list(rows),
            data_collator=right_padded,
            args=TrainingArguments(
                output_dir=scratch,
                per_device_train_batch_size=config.batch_size,
                num_train_epochs=1,
                learning_rate=config.learning_rate,
                lr_scheduler_type="cosine",
                warmup_steps=config.warmup_steps,
                weight_decay=config.weight_decay,
                adam_beta2=0.95,
                bf16=computes_in_bf16(config.bf16),
                use_cpu=not torch.cuda.is_available(),
                train_sampling_strategy="group_by_length",
                logging_first_step=True,
                logging_steps=min(config.logging_steps, -(-len(rows) // (2 * config.batch_size))),
                **quiet,
                dataloader_pin_memory=False,
                seed=seed,
            ),
        )
        trainer.train()
        return [entry for entry in trainer.state.log_history if "loss" in entry]


def right_padded(rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, torch.Tensor]:
    """A batch of rows, each column (B, T). Padding is on the right, so that positions begin at each row's first token.

    The id of a padding is 0 and is not seen, so that the model needs no pad token.
    """
    return {
        name: pad_sequence([torch.tensor(row[name]) for row in rows], batch_first=True, padding_value=padding)
        for name, padding in PADDING.items()
    }


def _tokenize(
    examples: Sequence[Example], tokenizer: Any, style: PromptStyle, max_length: int
) -> list[dict[str, list[int]]]:
    prompts = prompt_tokens([example.prompt for example in examples], style, tokenizer)
    answers = answer_tokens([example.completion for example in examples], tokenizer)
    rows = []
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = [*prompt, *answer][:max_length]
        labels = [*[IGNORED] * len(prompt), *answer][:max_length]
        if len(prompt) < max_length:  # else the row has no target, and a batch of such rows a loss of NaN
            rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels})
    if not rows:
        raise ConfigError(
            "folm.warm_start.training.max_length",
            f"{max_length}, with prompts of {min(map(len, prompts), default=0)} tokens or more",
            "room for an answer after a prompt",
            "raise it",
        )
    return rows
