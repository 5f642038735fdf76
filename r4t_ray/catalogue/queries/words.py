"""Words in every script: folded to compare texts, and as people wrote them to show and embed.

A word is a run of letters and digits with the marks that belong to them, as in Unicode's word segmentation (UAX 29).
Chinese, Japanese, Thai, Lao, Khmer and Burmese write no spaces, so a run of their letters is a phrase; ``unspaced``
finds the parts of a phrase. Marks that readers of a script can do without are folded away: accents of Latin and Greek
letters, Hebrew points and Arabic vowel signs. Elsewhere a mark spells another letter and stays: Indic and Thai vowels,
the voiced kana, the Cyrillic short i.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

OPTIONAL_MARKS = frozenset({"LATIN", "GREEK", "HEBREW", "ARABIC", "MODIFIER"})
"""Scripts whose marks are folded away, by the first word of the Unicode names of their letters."""
LATIN = frozenset({"LATIN", "MODIFIER"})
INNER = frozenset("\u05f3\u05f4\u055a\u055b\u055c\u055e\u0640")
"""Signs inside a Hebrew, Armenian or Arabic word that folding drops: geresh, gershayim, intonation marks, tatweel."""
APOSTROPHES = frozenset("\u2019\u02bc")
NOT_IN_A_WORD = re.compile(r"[^\w\s'-]")


def folded(text: str) -> str:
    """A text for comparisons: lower case, without optional marks and without signs inside a word.

    >>> folded("Crème"), folded("ガラス"), folded("Чай")
    ('creme', 'ガラス', 'чай')
    """
    if text.isascii():
        return text.lower()
    kept: list[str] = []
    letter = ""
    for char in unicodedata.normalize("NFKD", text.lower()):
        if _is_mark(char):
            kept.append(_folded_mark(char, letter))
        elif _joins(char, letter):
            kept.append("'" if char in APOSTROPHES else "")
        else:
            kept.append(char)
            letter = char if char.isalpha() else ""
    return unicodedata.normalize("NFC", "".join(kept))


def only_words(text: str) -> str:
    """The text, with a space in the place of each character outside words. Apostrophes and hyphens stay.

    >>> only_words("Soup (hot), half-and-half"), only_words("हिन्दी, रसोई")
    ('Soup  hot   half-and-half', 'हिन्दी  रसोई')
    """
    if text.isascii():
        return NOT_IN_A_WORD.sub(" ", text)
    kept: list[str] = []
    letter = ""
    for char in text:
        is_inner = bool(letter) and (_is_mark(char) or _joins(char, letter))
        kept.append(char if is_inner or char.isspace() or char.isalnum() or char in "_'-" else " ")
        if not is_inner:
            letter = char if char.isalpha() else ""
    return "".join(kept)


def composed(text: str) -> str:
    """A text as it was written, with composed characters (NFC): texts that look equal are then equal.

    >>> composed("cafe\u0301") == "café"
    True
    """
    return unicodedata.normalize("NFC", text)


def lower(text: str) -> str:
    """A text as it was written, composed and in lower case. The Turkish capital İ becomes i.

    >>> lower("İstanbul Çayı")
    'istanbul çayı'
    """
    return composed(text.lower().replace("i\u0307", "i"))


@lru_cache(maxsize=2**15)
def script_of(char: str) -> str:
    """The first word of a character's Unicode name, which names the script of a letter; "" without a name.

    >>> script_of("é"), script_of("ガ"), script_of("茶")
    ('LATIN', 'KATAKANA', 'CJK')
    """
    return re.split(r"[\s-]", unicodedata.name(char, ""), maxsplit=1)[0]


def has_other_script(text: str) -> bool:
    """Whether a text has a letter that is not Latin.

    >>> has_other_script("thé"), has_other_script("茶")
    (False, True)
    """
    return not text.isascii() and any(char.isalpha() and script_of(char) not in LATIN for char in text)


def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] == "M"


def _folded_mark(mark: str, letter: str) -> str:
    """What folding leaves of a mark after a letter, or after "" for another character."""
    if letter and script_of(letter) not in OPTIONAL_MARKS:
        return mark
    is_dropped = unicodedata.combining(mark) or (letter and script_of(letter) not in LATIN)
    return "" if is_dropped else " "


def _joins(char: str, letter: str) -> bool:
    """Whether a sign after a letter belongs to its word. After a Latin letter it does not, except for ' and -."""
    if not letter or script_of(letter) in LATIN:
        return False
    return char in INNER or char in APOSTROPHES or unicodedata.category(char) == "Cf"
