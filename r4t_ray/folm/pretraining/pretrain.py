"""Pretraining of the small base model that the package ships, on recipes, for both tasks.

Run by `make base-model RECIPES=recipes.jsonl.gz`. Titles whose hash falls in a held-out split are left out, so that the
model sees no held-out dish or theme of a catalogue that is split by title.

An example for WSCR (weakly supervised compositional retrieval) is a title with the k ingredients that recipes with
similar titles vote for, in alphabetical order. Most titles are recombined, because a small model memorises a fixed list
of titles. An example for OAR (open-ended abstract retrieval) is a theme with k titles that match it.

A small model cannot learn the meaning of words from recipes. Therefore each token embedding starts from the sentence
encoder's embedding of the token's text. Most names are one token, so an answer takes about one decoding step per name.
"""

from __future__ import annotations

import gzip
import json
import logging
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from r4t_ray.catalogue import recombine
from r4t_ray.catalogue.datasets.dishes import FOOD_TEMPLATES
from r4t_ray.catalogue.datasets.ingredients import clean_ingredient
from r4t_ray.catalogue.queries.splits import normalise_title, split_of
from r4t_ray.catalogue.queries.themes import make_themes, title_words
from r4t_ray.config import Settings
from r4t_ray.folm.policy.prompt import Example, format_answer
from r4t_ray.folm.pretraining.votes import distinct_names, nearest_sets, rank_by_votes
from r4t_ray.folm.warm_start.supervised import SupervisedConfig, train_on_examples
from r4t_ray.progress import track
from r4t_ray.types import Array, Rows

_logger = logging.getLogger(__name__)

MARKS = ("<wscr>", "<oar>", '<queries>["', '"]</queries>')
"""Parts of prompts and answers that are one token each."""

PIECES = r'", "[^"]+| ?[^\s"]+|\s+'
"""The longest text of a token: in an answer, a name with the separator before it; elsewhere, a word."""


BLOCK = 4096
"""Titles that are compared with all recipes at the same time."""


class PretrainConfig(Settings):
    """Size and schedule of the base model. The defaults made the shipped one."""

    vocab_size: int = 5120
    hidden_size: int = 256
    intermediate_size: int = 768
    num_layers: int = 4
    num_heads: int = 8
    num_kv_heads: int = 4
    k: int = 10
    staple_share: float = 0.03
    min_recipes: int = 5
    num_neighbours: int = 64
    vote_temperature: float = 0.08
    num_recombined: int = 360_000
    num_oar: int = 60_000
    epochs: int = 2
    seed: int = 0
    training: SupervisedConfig = SupervisedConfig(batch_size=64, learning_rate=2e-3, warmup_steps=200)


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Recipes: titles, ingredients (without staples and rare ones), and unit vectors of both."""

    titles: list[str]
    items: list[list[str]]
    title_emb_MD: Array
    item_emb: dict[str, Array]


def read_recipes(path: Path, staple_share: float, min_recipes: int) -> tuple[list[str], list[list[str]]]:
    """Titles and cleaned ingredients of a gzipped JSON-lines file, training split only.

    Ingredients in more than ``staple_share`` of the recipes or in fewer than ``min_recipes`` are left out. Then recipes
    without ingredients are left out.
    """
    titles, lists = [], []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            recipe = json.loads(line)
            if split_of(normalise_title(recipe["title"])) == "train":
                titles.append(recipe["title"].lower())
                names = dict.fromkeys(clean_ingredient(text) for text in recipe["ingredients"])
                lists.append([name for name in names if name])
    counts = Counter(name for names in lists for name in names)
    named = {name for name, count in counts.items() if min_recipes <= count <= staple_share * len(lists)}
    kept = [[name for name in names if name in named] for names in lists]
    _logger.info("%d recipes, %d ingredients named in answers", len(titles), len(named))
    keep = [row for row, names in enumerate(kept) if names]
    return [titles[row] for row in keep], [kept[row] for row in keep]


def build_corpus(path: Path, config: PretrainConfig, encode: Any) -> Corpus:
    """Read and encode the recipes."""
    titles, items = read_recipes(path, config.staple_share, config.min_recipes)
    names = sorted({name for row in items for name in row})
    return Corpus(
        titles=titles,
        items=items,
        title_emb_MD=encode(titles),
        item_emb=dict(zip(names, encode(names), strict=True)),
    )


def title_examples(corpus: Corpus, config: PretrainConfig) -> Iterator[Example]:
    """One WSCR example for each recipe. A recipe does not vote on its own example."""
    for start in range(0, len(corpus.titles), BLOCK):
        titles, emb_BD = corpus.titles[start : start + BLOCK], corpus.title_emb_MD[start : start + BLOCK]
        yield from _wscr_examples(corpus, config, titles, emb_BD, start + np.arange(len(titles)))


def recombined_examples(corpus: Corpus, config: PretrainConfig, encode: Any) -> Iterator[Example]:
    """One WSCR example for each of ``num_recombined`` recombined titles, except titles of a held-out split."""
    made = recombine(corpus.titles, config.num_recombined, config.seed)
    titles = [title for title in made if split_of(normalise_title(title)) == "train"]
    for start in track(range(0, len(titles), BLOCK), f"answers to recombined titles, in blocks of {BLOCK}"):
        block = titles[start : start + BLOCK]
        yield from _wscr_examples(corpus, config, block, encode(block), None)


def _wscr_examples(
    corpus: Corpus, config: PretrainConfig, titles: Sequence[str], emb_BD: Array, own_B: Rows | None
) -> Iterator[Example]:
    rows_BK, cos_BK = nearest_sets(emb_BD, corpus.title_emb_MD, config.num_neighbours, own_B)
    for title, rows_K, cos_K in zip(titles, rows_BK.tolist(), cos_BK, strict=True):
        ranked = rank_by_votes([corpus.items[row] for row in rows_K], cos_K, config.vote_temperature)
        yield Example(f"<wscr>{title}", format_answer(sorted(distinct_names(ranked, config.k, corpus.item_emb))))


def oar_examples(titles: Sequence[str], k: int, count: int, rng: random.Random) -> Iterator[Example]:
    """``count`` OAR examples: a training theme with k of its titles.

    A theme is drawn with a probability proportional to the square root of its number of titles.
    """
    rows_by_word: dict[str, set[int]] = defaultdict(set)
    for row, title in enumerate(titles):
        for word in title_words(title):
            rows_by_word[word].add(row)
    matched = []
    for theme in make_themes(titles, templates=FOOD_TEMPLATES):
        rows = set.intersection(*(rows_by_word[word] for word in theme.core.split())) if theme.core else set()
        if theme.split == "train" and len(rows) >= k:
            matched.append((theme.text, sorted(rows)))
    weights = [math.sqrt(len(rows)) for _, rows in matched]
    for text, members in rng.choices(matched, weights, k=count):
        chosen = dict.fromkeys(normalise_title(titles[row]) for row in rng.sample(members, min(len(members), 2 * k)))
        yield Example(f"<oar>{text}", format_answer(list(chosen)[:k]))


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """A byte-level BPE whose tokens span ``PIECES``. Each of ``MARKS`` is one token."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(MARKS),
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    unmarked = (re.sub("|".join(map(re.escape, MARKS)), "", text) for text in texts)
    tokenizer.train_from_iterator(unmarked, trainer)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", clean_up_tokenization_spaces=False
    )


def make_model(config: PretrainConfig, eos_token_id: int, pad_token_id: int) -> Any:
    """A randomly initialised Llama-shaped causal model with tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=eos_token_id,
            pad_token_id=pad_token_id,
        )
    )


@torch.no_grad()
def start_from_meanings(model: Any, tokenizer: Any, encode: Any) -> None:
    """Set the token embeddings to the leading principal components of the encodings of the tokens' texts.

    They are scaled to the standard deviation of the random initialisation.
    """
    texts = [tokenizer.decode([token]).strip(' ",') for token in range(len(tokenizer))]
    emb_VD = torch.from_numpy(encode(texts)).float()
    emb_VD -= emb_VD.mean(dim=0)
    rows_VH = model.get_input_embeddings().weight[: len(texts)]
    _, _, axes_DD = torch.linalg.svd(emb_VD, full_matrices=False)
    parts_VH = emb_VD @ axes_DD[: rows_VH.shape[1]].T
    rows_VH.copy_(parts_VH * (model.config.initializer_range / parts_VH.std()))


def pretrain(recipes: Path, out: Path, config: PretrainConfig, encode: Any) -> list[dict[str, float]]:
    """Train the base model and write it to ``out`` as float16 safetensors with its tokenizer.

    Args:
        recipes: Gzipped JSON lines with "title" and "ingredients".
        out: Folder to write.
        config: Size and schedule.
        encode: ``encode(texts) -> (N, D)`` unit rows, float32.

    Returns:
        The training log.
    """
    rng = random.Random(config.seed)
    torch.manual_seed(config.seed)
    corpus = build_corpus(recipes, config, encode)
    own = list(title_examples(corpus, config))
    examples = (own + list(recombined_examples(corpus, config, encode))) * config.epochs
    examples += oar_examples(corpus.titles, config.k, config.num_oar, rng)
    spelled = [example.prompt for example in examples] + [example.completion for example in own]
    tokenizer = train_tokenizer(spelled, config.vocab_size)
    model = make_model(config, tokenizer.eos_token_id, tokenizer.pad_token_id)
    start_from_meanings(model, tokenizer, encode)
    model.set_attn_implementation("eager")  # on a CPU the backward pass of the fused kernel takes 40% of a step
    _logger.info("%d examples, %.2fM parameters", len(examples), model.num_parameters() / 1e6)
    history = train_on_examples(model, tokenizer, examples, config.training, config.seed)
    model.to(torch.float16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return history
