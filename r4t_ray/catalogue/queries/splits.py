"""Splits by hash. A title is in the same split in every run, dataset and process."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from r4t_ray.types import Split

ROMAN_SUFFIX = re.compile(r"\s+(?:i{1,3}|iv|v|vi{1,3})$")


def normalise_title(title: str) -> str:
    """Lower-case words of a title, without brackets, accents, punctuation and a final roman numeral.

    >>> normalise_title("Crème Brûlée (French Custard) II")
    'creme brulee'
    """
    text = re.sub(r"\([^()]*\)", " ", without_accents(title))
    text = re.sub(r"[^\w\s'-]", " ", text)
    text = " ".join(text.split())
    return ROMAN_SUFFIX.sub("", text) or title.lower().strip()


def without_accents(text: str) -> str:
    """The text in lower case without accents.

    >>> without_accents("Crème")
    'creme'
    """
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def split_of(key: str) -> Split:
    """The split of a key by its sha256, in the ratio 8:1:1 (train, val, test). Equal keys get the same split."""
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % 10
    return "val" if bucket == 8 else "test" if bucket == 9 else "train"
