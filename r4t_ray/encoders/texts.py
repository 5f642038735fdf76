"""What of a set is embedded."""

from __future__ import annotations

MAX_DESCRIPTION_WORDS = 30


def set_text(title: str, description: str) -> str:
    """A set's text: its title, and where there is one the first MAX_DESCRIPTION_WORDS words of its description.

    >>> set_text("Lentil soup", "Soup recipes")
    'Lentil soup. Soup recipes'
    >>> set_text("Lentil soup", "")
    'Lentil soup'
    """
    words = description.split()[:MAX_DESCRIPTION_WORDS]
    return f"{title}. {' '.join(words)}" if words else title
