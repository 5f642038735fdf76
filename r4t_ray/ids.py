"""The rule for ids. It holds in catalogues, query logs, files of ids, requests and the page.

An id is one line of 1 to MAX_ID_CHARS characters. Spaces at its edges do not count. Otherwise ids are compared exactly.
"""

from __future__ import annotations

import unicodedata

MAX_ID_CHARS = 200
ID_RULE = f"one line of 1 to {MAX_ID_CHARS} characters, without spaces at its edges"

_BREAKS = {"Cc", "Zl", "Zp"}
"""Unicode categories of control characters, of the line separator and of the paragraph separator."""


def id_fault(key: str) -> str | None:
    r"""What breaks the rule, as a clause about the id; None if nothing does.

    >>> id_fault("i1;a b"), id_fault("i1 "), id_fault("i\n1")
    (None, 'with a space at an edge', 'with a line break or another control character')
    """
    if not key.strip():
        return "without a character"
    if key != key.strip():
        return "with a space at an edge"
    if len(key) > MAX_ID_CHARS:
        return f"of {len(key):,} characters"
    if not key.isprintable() and any(unicodedata.category(char) in _BREAKS for char in key):
        return "with a line break or another control character"
    return None
