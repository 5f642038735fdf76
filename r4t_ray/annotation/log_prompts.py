"""The two prompts of the log, and the readers of their replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from r4t_ray.endpoints.chat import json_fields

TITLES_PER_WISH = 8
MAX_WISH_WORDS, MAX_WISH_CHARS = 40, 300
"""A longer text is no query but a reply that went astray."""

WISHES_PROMPT = """A catalogue{about} has entries such as these:
{entries}

Write {num} requests that different people would type into the search box of this catalogue, in the language of the \
entries. A request says what the person wants it for, in the person's own words: an occasion, people, a mood, a \
season, a taste, a limit of time or money, something to avoid, or several of these. Some have three words, some a \
dozen. Do not repeat the words of the entries, and leave out requests that no catalogue of this kind could serve.
{earlier}
For each request also invent {titles} titles of entries that would fit it well, as different as can be, in the manner \
of the entries above.

Answer with one JSON object and nothing else:
{{"requests": [{{"request": "...", "titles": ["...", "..."]}}]}}"""

EARLIER = """
These were written before. Write about other wishes:
{wishes}
"""

FITS_PROMPT = """Someone asked a catalogue{about} for: {wish}

Entries:
{entries}

Which of these entries would the person be glad to get? Judge by what an entry is, not by words that it shares with \
the request. Leave out what fits in part only. It may be a few, many, or none.

Answer with one JSON object and nothing else, the numbers of the fitting entries: {{"fits": [2, 5]}}"""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A request in people's words, and titles of entries that would fit it."""

    text: str
    titles: tuple[str, ...]


def wishes_prompt(about: str, entries: Sequence[str], earlier: Sequence[str], num: int) -> str:
    """Asks for ``num`` wishes.

    Args:
        about: What the catalogue is, such as "dishes for home cooks"; may be empty.
        entries: A sample of its entries.
        earlier: Wishes that are there.
        num: The number of wishes.
    """
    return WISHES_PROMPT.format(
        about=in_words(about),
        entries=_listed(entries),
        num=num,
        titles=TITLES_PER_WISH,
        earlier=EARLIER.format(wishes=_listed(earlier)) if earlier else "",
    )


def fits_prompt(about: str, wish: str, entries: Sequence[str]) -> str:
    """Asks which of the entries, numbered from 1, fit a wish."""
    return FITS_PROMPT.format(about=in_words(about), wish=wish, entries=numbered(entries))


def read_wishes(reply: str) -> list[Wish]:
    """The wishes of a reply. Parts of another form are left out.

    >>> read_wishes('{"requests": [{"request": " a cosy  dinner ", "titles": ["Stew", 3]}, {"request": ""}]}')
    [Wish(text='a cosy dinner', titles=('Stew',))]
    >>> read_wishes("Sorry.")
    []
    """
    found = []
    requests = json_fields(reply).get("requests")
    for record in requests if isinstance(requests, list) else []:
        text = as_text(record.get("request")) if isinstance(record, dict) else ""
        if not is_query(text):
            continue
        titles = record.get("titles")
        given = [as_text(title) for title in titles] if isinstance(titles, list) else []
        found.append(Wish(text=text, titles=tuple(title for title in given if title)[:TITLES_PER_WISH]))
    return found


def read_fits(reply: str, num_entries: int) -> list[int] | None:
    """Places, from 0, of the entries that a reply names; None if it is no such reply or names a number of no entry.

    >>> read_fits('{"fits": [2, 1, 2]}', 3), read_fits('{"fits": []}', 3)
    ([0, 1], [])
    >>> read_fits('{"fits": [4]}', 3) is None
    True
    """
    fits = json_fields(reply).get("fits")
    if not isinstance(fits, list) or not all(type(number) is int and 1 <= number <= num_entries for number in fits):
        return None
    return sorted({number - 1 for number in fits})


def in_words(about: str) -> str:
    """What the catalogue is, as a part of a prompt.

    >>> in_words("dishes"), in_words("")
    (' of dishes', '')
    """
    return f" of {about}" if about else ""


def numbered(entries: Sequence[str]) -> str:
    """The entries, one a line, with their numbers from 1."""
    return "\n".join(f"{number}. {entry}" for number, entry in enumerate(entries, 1))


def is_query(text: str) -> bool:
    """Whether a text may be what a person types."""
    return bool(text) and len(text) <= MAX_WISH_CHARS and len(text.split()) <= MAX_WISH_WORDS


def as_text(value: Any) -> str:
    """A text with single spaces; empty for another value and for one that UTF-8 cannot write."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text.encode("utf-8", "ignore").decode()


def _listed(texts: Sequence[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)
