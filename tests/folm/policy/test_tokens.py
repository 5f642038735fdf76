"""Models without a pad token whose chat template writes BOS, from the prompt's ids to the sampled answer."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from r4t_ray.config import Resources
from r4t_ray.encoders import resolve_model
from r4t_ray.errors import ConfigError
from r4t_ray.folm.learner.build import padding_tokenizer
from r4t_ray.folm.policy.engines.interface import EngineConfig
from r4t_ray.folm.policy.engines.transformers_engine import stop_tokens
from r4t_ray.folm.policy.model import FanOutModel
from r4t_ray.folm.policy.prompt import PromptStyle, render_prompt
from r4t_ray.folm.policy.tokens import answer_tokens, fitted_prompt, prompt_tokens
from r4t_ray.folm.settings import FolmConfig

from ..chat_models import TEMPLATE, chat_tokenizer, save_chat_model, tiny_model

QUERIES = ("a light summer dinner by the sea", "soup")
CHAT = FolmConfig(
    prompt_style="chat", max_completion_tokens=12, engine=EngineConfig(type="transformers", max_model_len=2000)
)
LONG = CHAT.model_copy(update={"engine": EngineConfig(type="transformers", max_model_len=1000)})


@pytest.mark.parametrize("template", [TEMPLATE, TEMPLATE.removeprefix("{{ bos_token }}")], ids=["bos", "no bos"])
def test_chat_prompts_are_the_ids_of_the_template(template: str) -> None:
    tokenizer = chat_tokenizer(template)
    texts = [render_prompt("oar", query, 3, "chat", tokenizer) for query in QUERIES]
    ids = prompt_tokens(texts, "chat", tokenizer)
    content = texts[0].partition("[user]")[2].partition("<end>")[0]
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, add_generation_prompt=True, return_dict=True
    )["input_ids"]
    assert ids[0] == expected
    assert [each.count(tokenizer.bos_token_id) for each in ids] == [int(template == TEMPLATE)] * 2


def test_compact_prompts_begin_with_bos_and_answers_end_with_eos_alone() -> None:
    tokenizer = chat_tokenizer()
    (prompt,), (answer,) = prompt_tokens(["ab"], "compact", tokenizer), answer_tokens(["cd"], tokenizer)
    assert (tokenizer.decode(prompt), tokenizer.decode(answer)) == ("<s>ab", "cd</s>")
    closing = chat_tokenizer()
    closing.backend_tokenizer.post_processor = type(closing.backend_tokenizer.post_processor)(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    assert closing.decode(closing("ab")["input_ids"]) == "<s>ab</s>"
    assert prompt_tokens(["ab"], "compact", closing) == [prompt]
    base = AutoTokenizer.from_pretrained(resolve_model("package:r4t_ray/folm/base_model"))
    assert prompt_tokens(["<oar>soup"], "compact", base) == base(["<oar>soup"])["input_ids"]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_samples_of_a_padded_batch_have_the_log_probabilities_of_each_prompt_alone(kind: str, tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path, kind)
    policy = FanOutModel.load(folder, CHAT, Resources(threads=1))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rows = policy.complete("oar", QUERIES, 3, num_samples=2, temperature=0.8, seed=3)
    prompts = [policy.prompt_ids("oar", query, 3) for query in QUERIES]
    assert len(prompts[0]) > len(prompts[1])
    for prompt, row in zip(prompts, rows, strict=True):
        for completion in row:
            with torch.no_grad():
                logits_TV = model(torch.tensor([[*prompt, *completion.token_ids]])).logits[0, len(prompt) - 1 : -1]
            logp_TV = (logits_TV / 0.8).log_softmax(-1)
            expected = logp_TV.gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("end", [1, 2])
def test_an_answer_ends_at_each_token_that_the_model_ends_with(end: int, tmp_path: Path) -> None:
    tokenizer = chat_tokenizer()
    model = tiny_model("llama", len(tokenizer))
    assert stop_tokens(tokenizer, model.generation_config) == [1, 2]
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    policy = FanOutModel.load(tmp_path, CHAT, Resources(threads=1))
    bias = torch.full((len(tokenizer),), -1e4)
    bias[[end, 10]] = 1e4  # the model writes either the end or one letter
    policy._engine._model.lm_head.register_forward_hook(  # type: ignore[attr-defined]  # the engine of transformers
        lambda module, inputs, logits: 0 * logits + bias
    )
    (row,) = policy.complete("oar", ["soup"], 3, num_samples=8, temperature=1.0, seed=0)
    lengths = {len(completion.token_ids) for completion in row}
    assert len(lengths) > 2
    assert max(lengths) < CHAT.max_completion_tokens
    for completion in row:
        assert completion.token_ids == (10,) * (len(completion.token_ids) - 1) + (end,)
        assert len(completion.logprobs) == len(completion.token_ids)


@pytest.mark.parametrize("style", ["chat", "compact"])
@pytest.mark.parametrize(
    "query", [" ".join(f"word{number}" for number in range(5000)), "ต้มยำ" * 900, "हिन्दी " * 900, "\u200d" * 3000]
)
def test_a_long_query_keeps_the_first_words_that_fit(style: PromptStyle, query: str) -> None:
    tokenizer, most = chat_tokenizer(), 800
    fit = partial(fitted_prompt, "wscr", k=3, style=style, tokenizer=tokenizer, most=most)
    prompt = fit(query)
    (ids,) = prompt_tokens([prompt], style, tokenizer)
    assert most - 30 < len(ids) <= most
    text = prompt.rpartition("Wish: ")[2].partition("<end>")[0] if style == "chat" else prompt.removeprefix("<wscr>")
    assert query.startswith(text)
    assert len(text) > 50
    assert fit("soup of the sea") == render_prompt("wscr", "soup of the sea", 3, style, tokenizer)


def test_a_model_samples_for_a_title_of_5000_words(tmp_path: Path) -> None:
    policy = FanOutModel.load(save_chat_model(tmp_path, "gpt2"), LONG, Resources(threads=1))
    title = " ".join(["word"] * 5000)
    assert len(policy.prompt_ids("oar", title, 3)) <= LONG.max_prompt_tokens == 988
    assert len(policy.fan_out("oar", [title, "soup"], 3)) == 2


def test_the_pad_token_of_the_learner_is_one_that_its_model_embeds(tmp_path: Path) -> None:
    save_chat_model(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert padding_tokenizer(tmp_path, model).pad_token_id == 1
    chat_tokenizer(pad_token="<added>").save_pretrained(tmp_path)  # beyond the rows of the embedding
    assert AutoTokenizer.from_pretrained(tmp_path).pad_token_id >= model.get_input_embeddings().num_embeddings
    padding = padding_tokenizer(tmp_path, model)
    assert (padding.pad_token_id, padding.padding_side) == (1, "left")
    base = resolve_model("package:r4t_ray/folm/base_model")
    assert padding_tokenizer(Path(base), AutoModelForCausalLM.from_pretrained(base)).pad_token_id == 0


def test_a_tokenizer_without_an_end_token_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"folm\.base_model: got a tokenizer without an end token"):
        answer_tokens(["soup"], chat_tokenizer(eos_token=None))
