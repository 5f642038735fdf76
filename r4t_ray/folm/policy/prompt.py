"""Prompts of both tasks, and the parser of the fan-out language model's answers (arXiv 2603.06397, sec. 2.2).

An answer may begin with free text, such as a thinking part. Then comes ``<queries>["first", "second", ...]</queries>``.

A small model cannot spell a rare word that it has to copy. Therefore the ``compact`` prompt of OAR (open-ended abstract
retrieval) numbers the words of the query, and a number in an answer stands for that word: "strawberry 2" answers
``<oar>1 banana 2 pie`` with "strawberry pie".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from r4t_ray.errors import ConfigError
from r4t_ray.types import Task

PromptStyle = Literal["compact", "chat"]

OPEN, CLOSE = "<queries>", "</queries>"
MAX_QUERY_CHARS = 200
INSTRUCTIONS: dict[Task, str] = {
    "oar": (
        "You help someone explore a catalogue of collections. Their wish is broad. Write {k} short search queries that "
        "stay on the topic of the wish and differ from each other: each keeps its subject and adds or swaps one to "
        "three words, so that together they reach many different collections."
    ),
    "wscr": (
        "You help someone put together one set of items. Write {k} short search queries, each naming a different kind "
        "of item, so that searching for all of them brings back every item of a set that fits the description."
    ),
}
ANSWER_FORM = (
    " First think inside <think></think>, then answer with one JSON list of at most {k} strings inside "
    "<queries></queries>."
)


class Example(NamedTuple):
    """A prompt and the answer that supervised training teaches for it."""

    prompt: str
    completion: str


def render_prompt(task: Task, query: str, k: int, style: PromptStyle, tokenizer: Any) -> str:
    """The text that the model continues.

    ``compact`` is the task's token and the lower-case query, for models that were pretrained on this form; for OAR each
    word has its number. ``chat`` writes the instructions as a user turn in the tokenizer's chat template.

    Raises:
        ConfigError: The style is ``chat``, and the tokenizer has no chat template.
    """
    if style == "compact":
        return f"<{task}>{with_numbers(query) if task == 'oar' else query.strip().lower()}"
    if not getattr(tokenizer, "chat_template", None):
        raise ConfigError(
            "folm.prompt_style",
            "chat, and a tokenizer without a chat template",
            "the tokenizer of a chat model",
            "name an instruction-tuned folm.base_model, or write prompt_style: compact for a model trained on it",
        )
    turn = (INSTRUCTIONS[task] + ANSWER_FORM).format(k=k) + f"\n\nWish: {query.strip()}"
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": turn}], tokenize=False, add_generation_prompt=True
    )
    return str(text)


def format_answer(queries: Sequence[str]) -> str:
    """The text of an answer with these sub-queries. ``parse_answer`` is the inverse."""
    return OPEN + json.dumps(list(queries), ensure_ascii=False) + CLOSE


def answer_regex(k: int) -> str:
    r"""A regular expression for answers with one to k sub-queries. An answer may begin with a thinking part.

    >>> import re
    >>> bool(re.fullmatch(answer_regex(2), '<think>hm</think><queries>["red apple", "pear"]</queries>'))
    True
    >>> bool(re.fullmatch(answer_regex(1), '<queries>["red apple", "pear"]</queries>'))
    False
    """
    query = r'"[^"\\<\s\x00-\x1f][^"\\<\x00-\x1f]{0,' + str(MAX_QUERY_CHARS - 1) + '}"'
    more = f"(, {query}){{0,{k - 1}}}" if k > 1 else ""
    return rf"(<think>[^<]*</think>\s*)?{OPEN}\[{query}{more}\]{CLOSE}"


def preamble_chars(text: str) -> int:
    """Number of characters before the list of an answer, such as a thinking part; the whole length without a list.

    >>> preamble_chars('<think>red?</think><queries>["red apple"]</queries>')
    19
    """
    return len(text.rpartition(OPEN)[0]) if OPEN in text else len(text)


def parse_answer(text: str, k: int) -> tuple[str, ...] | None:
    """The first k sub-queries of an answer, repetitions included; None if there is no well-formed list of strings.

    >>> parse_answer('<think>red?</think><queries>["red apple", "pear"]</queries>', k=10)
    ('red apple', 'pear')
    >>> parse_answer('<queries>["red apple", ', k=10) is None
    True
    """
    _, opened, rest = text.rpartition(OPEN)
    body, closed, _ = rest.partition(CLOSE)
    if not (opened and closed):
        return None
    try:
        queries = json.loads(body)
    except ValueError:
        return None
    if not isinstance(queries, list) or not all(isinstance(query, str) for query in queries):
        return None
    kept = tuple(query.strip()[:MAX_QUERY_CHARS] for query in queries if query.strip())[:k]
    return kept or None


def parse_fan_out(text: str, k: int, *, task: Task, query: str, style: PromptStyle) -> tuple[str, ...] | None:
    """The sub-queries of an answer as ``parse_answer`` reads them, with words in place of the prompt's numbers.

    >>> parse_fan_out('<queries>["strawberry 2"]</queries>', 10, task="oar", query="Banana Pie", style="compact")
    ('strawberry pie',)
    """
    sub_queries = parse_answer(text, k)
    if sub_queries is None or task != "oar" or style != "compact":
        return sub_queries
    return tuple(with_words(sub_query, query)[:MAX_QUERY_CHARS] for sub_query in sub_queries)


def words_of(query: str) -> list[str]:
    """The words that the compact prompt of OAR numbers from 1, in lower case."""
    return query.lower().split()


def with_numbers(query: str) -> str:
    """The query with a number before each word.

    >>> with_numbers("Banana Pie")
    '1 banana 2 pie'
    """
    return " ".join(f"{number} {word}" for number, word in enumerate(words_of(query), 1))


def with_words(sub_query: str, query: str) -> str:
    """The sub-query with the query's words in place of their numbers. Other numbers stay.

    >>> with_words("strawberry 2 7", "Banana Pie")
    'strawberry pie 7'
    """
    word_of = {str(number): word for number, word in enumerate(words_of(query), 1)}
    return " ".join(word_of.get(word, word) for word in sub_query.split())
