"""Parts of phrases in scripts that write no spaces: Chinese, Japanese, Thai, Lao, Khmer and Burmese.

Without a dictionary nothing says where a word ends. So a part is a run of characters (with their marks), and a part
counts as a word where several texts share it. A core of such a script is held by every text that contains it.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from r4t_ray.catalogue.queries.words import script_of

SCRIPTS = frozenset({"CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HALFWIDTH", "THAI", "LAO", "KHMER", "MYANMAR"})
BEFORE = frozenset("เแโใไເແໂໃໄ\u17d2\u1039")
"""Thai and Lao vowels that are written before their consonant, and the signs that stack the next consonant."""
AFTER = frozenset("ะาำๅะາຳຽ")
"""Thai and Lao vowels that are letters and are written after their consonant."""
PARTICLES = frozenset("のを的")
"""They join words, so no part begins or ends with one."""
LEAST_LETTERS, MOST_LETTERS = 2, 12
MOST_LETTERS_OF_A_KIND, READ_FOR_KINDS = 6, 64
"""Letters of the longest part that names a kind of item, and characters of an item's text that are read for them."""

Part = tuple[str, ...]
"""Neighbouring characters, each with its marks."""


def is_unspaced(text: str) -> bool:
    """Whether a text has a letter of such a script.

    >>> is_unspaced("LEDランプ"), is_unspaced("한국 요리")
    (True, False)
    """
    return not text.isascii() and any(_is_unspaced_letter(char) for char in text)


def runs(word: str) -> list[tuple[bool, str]]:
    """The word, cut where it changes to or from such a script: whether each part is of one, and the part.

    >>> runs("LEDランプ"), runs("lamp")
    ([(False, 'LED'), (True, 'ランプ')], [(False, 'lamp')])
    """
    kinds, kind = [], False
    for char in word:
        kind = kind if unicodedata.category(char)[0] == "M" else _is_unspaced_letter(char)
        kinds.append((kind, char))
    return [(kind, "".join(char for _, char in own)) for kind, own in groupby(kinds, key=lambda pair: pair[0])]


def letters(run: str) -> Part:
    """The characters of a run, each with its marks and with the vowels that are written beside it.

    >>> letters("ต้มยำ"), letters("เนื้อ")
    (('ต้', 'ม', 'ยำ'), ('เนื้', 'อ'))
    """
    found: list[str] = []
    for char in run:
        continues = found and (unicodedata.category(char)[0] == "M" or char in AFTER or found[-1][-1] in BEFORE)
        if continues:
            found[-1] += char
        else:
            found.append(char)
    return tuple(found)


def parts(text: str, length: int) -> Iterator[Part]:
    """The parts of ``length`` letters in a text, from left to right."""
    for word in text.split():
        for kind, run in runs(word) if is_unspaced(word) else ():
            own = letters(run) if kind else ()
            yield from (own[start : start + length] for start in range(len(own) - length + 1))


def phrase_parts(text: str) -> list[str]:
    """Every short part at the beginning of a text that does not begin or end with a particle, the longest first.

    >>> phrase_parts("ガラスの器")[:3]
    ['ガラスの器', 'ラスの器', 'ガラス']
    """
    lengths = range(MOST_LETTERS_OF_A_KIND, LEAST_LETTERS - 1, -1)
    found = (part for length in lengths for part in parts(text[:READ_FOR_KINDS], length))
    return list(dict.fromkeys("".join(part) for part in found if _stands_alone(part)))


def frequent_parts(texts: Iterable[str], least: int) -> list[str]:
    """The parts that at least ``least`` texts hold, except those that always stand in the same longer part.

    >>> frequent_parts(["番茄炒蛋", "番茄牛肉", "牛肉面"], least=2)
    ['番茄', '牛肉']
    """
    unspaced = [text for text in texts if is_unspaced(text)]
    found: dict[Part, int] = {}
    shorter: dict[Part, int] | None = None
    for length in range(LEAST_LETTERS, MOST_LETTERS + 1):
        counts = Counter(part for text in unspaced for part in _frequent_so_far(parts(text, length), shorter))
        shorter = {part: count for part, count in counts.items() if count >= least}
        found |= {part: count for part, count in shorter.items() if _stands_alone(part)}
    inside = {sub for part, count in found.items() for sub in (part[:-1], part[1:]) if found.get(sub) == count}
    return ["".join(part) for part in found if part not in inside]


def _frequent_so_far(own: Iterable[Part], shorter: dict[Part, int] | None) -> set[Part]:
    return {part for part in own if shorter is None or (part[:-1] in shorter and part[1:] in shorter)}


def _stands_alone(part: Part) -> bool:
    return part[0] not in PARTICLES and part[-1] not in PARTICLES


def _is_unspaced_letter(char: str) -> bool:
    return char.isalpha() and script_of(char) in SCRIPTS
