"""The prompt of the expansions, and the reader of its replies."""

from __future__ import annotations

from collections.abc import Sequence

from r4t_ray.annotation.log_prompts import as_text, in_words, is_query, numbered
from r4t_ray.endpoints.chat import json_fields

WISHES_PER_ENTRY = 4

EXPANSION_PROMPT = """A catalogue{about} has these entries:
{entries}

For every entry write {num} short wishes, in the words of people who would be glad to get exactly this entry but do \
not know its name: what they want it for. Think of what is particular about the entry: the occasion, the season, the \
people, the mood, the taste or style, the place, a limit of time, money or skill, something to avoid. Look at the \
entry from {num} different sides. Each wish has 3 to 8 words, in the language of the entries, and does not repeat the \
words of the entry unless people would. Do not use one phrase for entry after entry.

Answer with one JSON object and nothing else, the wishes by the number of the entry:
{{"1": ["...", "..."], "2": ["...", "..."]}}"""


def expansion_prompt(about: str, entries: Sequence[str]) -> str:
    """Asks for wishes that each of the entries, numbered from 1, answers."""
    return EXPANSION_PROMPT.format(about=in_words(about), entries=numbered(entries), num=WISHES_PER_ENTRY)


def read_expansions(reply: str, num_entries: int) -> dict[int, list[str]]:
    """Place of an entry, from 0 -> its wishes. Parts of another form are left out.

    >>> read_expansions('{"1": ["warm up  after sledding", 3], "2": "soup", "9": ["x"]}', 2)
    {0: ['warm up after sledding']}
    """
    found = json_fields(reply)
    wishes = {place: found.get(str(place + 1)) for place in range(num_entries)}
    texts = {place: [as_text(wish) for wish in given] for place, given in wishes.items() if isinstance(given, list)}
    kept = {place: [text for text in dict.fromkeys(given) if is_query(text)] for place, given in texts.items()}
    return {place: given for place, given in kept.items() if given}
