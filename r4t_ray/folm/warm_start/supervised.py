"""Supervised training on written answers, by transformers' Trainer: pretraining and warm start."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from r4t_ray.config import Settings
from r4t_ray.folm.learner.precision import computes_in_bf16
from r4t_ray.folm.policy.prompt import Example

IGNORED = -100
"""Label of a token that is no target."""


class SupervisedConfig(Settings):
    """One pass of AdamW over the examples, linear warm-up and cosine decay.

    ``bf16`` is by default what the device is made for.
    """

    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 1e-3
    warmup_steps: NonNegativeInt = 20
    weight_decay: float = 0.1
    max_length: PositiveInt = 192
    bf16: bool | None = None
    logging_steps: PositiveInt = 50


def train_on_examples(
    model: Any, tokenizer: Any, examples: Sequence[Example], config: SupervisedConfig, seed: int
) -> list[dict[str, float]]:
    """Train ``model`` in place to continue each prompt with its completion; only completions are targets.

    Returns:
        The trainer's log: dicts with step, loss and learning rate.
    """
    from datasets import Dataset
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    rows = _tokenize(examples, tokenizer, config.max_length)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            train_dataset=Dataset.from_list(rows),
            data_collator=DataCollatorForSeq2Seq(tokenizer),
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
                logging_steps=config.logging_steps,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=False,
                seed=seed,
            ),
        )
        trainer.train()
        return [entry for entry in trainer.state.log_history if "loss" in entry]


def _tokenize(examples: Sequence[Example], tokenizer: Any, max_length: int) -> list[dict[str, list[int]]]:
    prompts = tokenizer([example.prompt for example in examples])["input_ids"]
    answers = tokenizer([example.completion for example in examples])["input_ids"]
    rows = []
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = [*prompt, *answer, tokenizer.eos_token_id][:max_length]
        labels = [*[IGNORED] * len(prompt), *answer, tokenizer.eos_token_id][:max_length]
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels})
    return rows
