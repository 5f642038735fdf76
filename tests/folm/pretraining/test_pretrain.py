"""The base model's examples, its tokenizer, and the start of its token embeddings from text embeddings."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from r4t_ray.catalogue import RecipesConfig
from r4t_ray.catalogue.queries.made import set_split
from r4t_ray.catalogue.queries.splits import normalise_title, split_of
from r4t_ray.folm.policy.prompt import format_answer
from r4t_ray.folm.pretraining.pretrain import (
    MARKS,
    Corpus,
    PretrainConfig,
    make_model,
    read_recipes,
    recombined_examples,
    start_from_meanings,
    title_examples,
    train_tokenizer,
)
from r4t_ray.types import Array

ANSWER = format_answer(["bay leaves", "olive oil", "red wine"])


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(["<wscr>beef stew with olives", ANSWER, "<oar>stews"] * 50, vocab_size=400)


def test_the_base_model_sees_only_training_titles_of_the_recipes_dataset(tmp_path: Path) -> None:
    path = tmp_path / "recipes.jsonl"
    titles = [
        f" {word} {form} (No. {n}) II" for n, word in enumerate(["Crème", "Bean", "Red", "Hot"]) for form in "abcde"
    ]
    path.write_text("".join(json.dumps({"title": title, "ingredients": ["rice"]}) + "\n" for title in titles))
    sets = RecipesConfig(path=path).read().sets
    assert {set_split(row) for row in sets} == {"train", "val", "test"}
    seen, _ = read_recipes(gzipped(path), staple_share=1.0, min_recipes=1)
    assert [title.strip() for title in seen] == [row.title.lower() for row in sets if set_split(row) == "train"]


def gzipped(path: Path) -> Path:
    """A compressed copy of a file."""
    copy = path.with_suffix(".jsonl.gz")
    copy.write_bytes(gzip.compress(path.read_bytes()))
    return copy


def test_a_name_of_an_answer_is_one_token_with_the_separator_before_it(tokenizer: Any) -> None:
    texts = [tokenizer.decode([token]) for token in tokenizer(ANSWER)["input_ids"]]
    assert texts[0] == MARKS[2]
    assert texts[-1] == MARKS[3]
    assert '", "olive oil' in texts
    assert '", "red wine' in texts


def test_a_token_of_a_query_spans_at_most_one_word(tokenizer: Any) -> None:
    texts = [tokenizer.decode([token]) for token in tokenizer("<wscr>beef stew with olives")["input_ids"]]
    assert texts[0] == "<wscr>"
    assert all(" " not in text.strip() for text in texts)


@pytest.mark.parametrize("text", [ANSWER, '<oar>crème brûlée, "two ways"  & tea', "<wscr>\n7-up cake"])
def test_decoding_inverts_encoding(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_token_embeddings_start_with_the_cosines_between_their_texts(tokenizer: Any) -> None:
    rng = np.random.default_rng(0)
    known: dict[str, Array] = {}

    def encode(texts: Sequence[str]) -> Array:
        return np.stack([known.setdefault(text, rng.normal(size=32).astype(np.float32)) for text in texts])

    config = PretrainConfig(vocab_size=400, hidden_size=32, intermediate_size=32, num_layers=1, num_heads=2)
    torch.manual_seed(0)
    model = make_model(config, 1, 0)
    spread = model.config.initializer_range
    start_from_meanings(model, tokenizer, encode)
    size = len(tokenizer)
    rows_VH = model.get_input_embeddings().weight[:size].detach()
    texts = [tokenizer.decode([token]).strip(' ",') for token in range(size)]
    emb_VD = torch.from_numpy(np.stack([known[text] for text in texts]))
    emb_VD -= emb_VD.mean(dim=0)
    angle_VV = torch.nn.functional.cosine_similarity(emb_VD[:, None], emb_VD[None], dim=-1)
    kept_VV = torch.nn.functional.cosine_similarity(rows_VH[:, None], rows_VH[None], dim=-1)
    torch.testing.assert_close(kept_VV, angle_VV, atol=1e-3, rtol=0)
    assert float(rows_VH.std()) == pytest.approx(spread, rel=0.05)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Nine dishes with unit vectors in the plane, 10 degrees apart. Dish i holds "item i" and "oil"."""
    angles = np.arange(9) * (np.pi / 18)
    titles = [f"{first} {second}" for first in ("beef", "lemon", "rice") for second in ("pie", "soup", "stew")]
    items = [["oil", f"item {i}"] for i in range(9)]
    emb_MD = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    names = sorted({name for row in items for name in row})
    item_emb = dict(zip(names, np.eye(len(names), dtype=np.float32), strict=True))
    return Corpus(titles=titles, items=items, title_emb_MD=emb_MD, item_emb=item_emb)


def test_a_recipe_is_answered_with_items_of_its_neighbours_and_does_not_vote_itself(corpus: Corpus) -> None:
    config = PretrainConfig(k=3, num_neighbours=2)
    examples = list(title_examples(corpus, config))
    assert [example.prompt for example in examples] == [f"<wscr>{title}" for title in corpus.titles]
    assert examples[0].completion == format_answer(["item 1", "item 2", "oil"])
    assert examples[4].completion == format_answer(["item 3", "item 5", "oil"])


def test_recombined_titles_are_new_training_titles_on_which_every_recipe_may_vote(corpus: Corpus) -> None:
    config = PretrainConfig(k=2, num_neighbours=1, num_recombined=1000)
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> Array:
        asked.extend(texts)
        return np.repeat(corpus.title_emb_MD[:1], len(texts), axis=0)

    examples = list(recombined_examples(corpus, config, encode))
    assert [example.prompt for example in examples] == [f"<wscr>{title}" for title in asked]
    assert len(set(asked)) == len(asked) > 0
    assert not set(asked) & set(corpus.titles)
    assert {split_of(normalise_title(title)) for title in asked} == {"train"}
    assert {example.completion for example in examples} == {format_answer(["item 0", "oil"])}
