"""Supervised training of models that other people made: no pad token, left padding by default, BOS, positions."""

from __future__ import annotations

import math

import pytest
import torch

from r4t_ray.errors import ConfigError
from r4t_ray.folm.policy.prompt import Example, render_prompt
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.train import teach
from r4t_ray.folm.warm_start import supervised
from r4t_ray.folm.warm_start.supervised import IGNORED, SupervisedConfig, right_padded, train_on_examples

from ..chat_models import chat_tokenizer, tiny_model

CONFIG = SupervisedConfig(batch_size=2, warmup_steps=0, learning_rate=1e-3, max_length=1024, bf16=False)


def test_rows_are_padded_on_the_right_and_paddings_are_no_target() -> None:
    rows = [{"input_ids": [5, 6, 7], "attention_mask": [1, 1, 1], "labels": [IGNORED, 6, 7]}]
    rows += [{"input_ids": [8], "attention_mask": [1], "labels": [8]}]
    batch = {name: values.tolist() for name, values in right_padded(rows).items()}
    assert batch == {
        "input_ids": [[5, 6, 7], [8, 0, 0]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
        "labels": [[IGNORED, 6, 7], [8, IGNORED, IGNORED]],
    }


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_loss_of_a_padded_batch_is_the_loss_of_its_rows_alone(kind: str) -> None:
    tokenizer = chat_tokenizer()
    assert tokenizer.pad_token_id is None
    queries = ("a light summer dinner by the sea", "soup")
    examples = [Example(render_prompt("oar", query, 3, "chat", tokenizer), query) for query in queries]
    rows = supervised._tokenize(examples, tokenizer, "chat", CONFIG.max_length)
    assert [row["input_ids"].count(tokenizer.bos_token_id) for row in rows] == [1, 1]
    assert [tokenizer.decode([i for i in row["labels"] if i != IGNORED]) for row in rows] == [
        q + "</s>" for q in queries
    ]
    model, sums, num = tiny_model(kind, len(tokenizer)).eval(), 0.0, 0
    for row in rows:
        targets = sum(label != IGNORED for label in row["labels"])
        alone = {name: torch.tensor([row[name]]) for name in ("input_ids", "labels")}
        with torch.no_grad():
            sums, num = sums + targets * float(model(**alone).loss), num + targets
    model = tiny_model(kind, len(tokenizer))
    history = train_on_examples(model, tokenizer, examples, CONFIG, 0, style="chat")
    assert len(history) == 1  # one step, which is fewer than logging_steps
    assert history[0]["loss"] == pytest.approx(sums / num, abs=1e-4)


def test_the_first_step_and_the_last_half_have_a_loss() -> None:
    tokenizer = chat_tokenizer()
    config = CONFIG.model_copy(update={"batch_size": 2})
    model = tiny_model("llama", len(tokenizer))
    history = train_on_examples(model, tokenizer, [Example("soup", "stew")] * 10, config, 0)
    assert [entry["step"] for entry in history] == [1, 3]


def test_an_example_whose_prompt_fills_the_row_is_left_out() -> None:
    tokenizer = chat_tokenizer()
    short, long = Example("soup", "stew"), Example("word " * 5000, "stew")
    model = tiny_model("llama", len(tokenizer))
    history = train_on_examples(model, tokenizer, [long, short, long], CONFIG, 0)
    assert math.isfinite(history[-1]["loss"])
    with pytest.raises(ConfigError, match=r"max_length: got 1024, with prompts of 25001 tokens or more"):
        train_on_examples(model, tokenizer, [long], CONFIG, 0)


def test_without_an_answer_to_teach_the_base_model_stays(caplog: pytest.LogCaptureFixture) -> None:
    teach("oar", None, chat_tokenizer(), [], config=FolmConfig(), seed=0)
    assert "oar: there is no answer to teach, so RL starts from folm.base_model" in caplog.text
