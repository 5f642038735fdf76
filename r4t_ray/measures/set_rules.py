"""A rule on a whole set: at most so many items with one value of an attribute, and at least so many values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def rule_violations(values: Sequence[object], max_per_value: int, min_values: int = 0) -> int:
    """The number of items that are too many for their value, plus the number of values that are missing.

    Args:
        values: The attribute of each item of the set. The rule ignores items without it (None).
        max_per_value: Largest number of items with one value.
        min_values: Smallest number of different values.

    >>> rule_violations(["top", "top", "top", None], max_per_value=2, min_values=3)
    3
    """
    counts = Counter(str(value) for value in values if value is not None)
    return sum(max(0, count - max_per_value) for count in counts.values()) + max(0, min_values - len(counts))


def keeps_rule(values: Sequence[object], max_per_value: int, min_values: int = 0) -> float:
    """1.0 if the set keeps the rule, else 0.0; as ``rule_violations``.

    >>> keeps_rule(["top", "top", "shoe"], max_per_value=2, min_values=2)
    1.0
    """
    return float(rule_violations(values, max_per_value, min_values) == 0)


def first_keeping(values: Sequence[object], num: int, max_per_value: int, min_values: int = 0) -> list[int]:
    """Positions of at most ``num`` items of a ranking whose set keeps the rule, taken in order.

    An item is skipped if its value has ``max_per_value`` items already, or if the places that are left are needed for
    new values.

    >>> first_keeping(["a", "a", "a", "b", "c"], num=3, max_per_value=2, min_values=2)
    [0, 1, 3]
    >>> first_keeping(["a", "a", "b", "c"], num=3, max_per_value=2, min_values=3)
    [0, 2, 3]
    """
    counts: Counter[str] = Counter()
    kept: list[int] = []
    for position, value in enumerate(values):
        if len(kept) == num:
            break
        if value is None:
            is_new, is_full = False, False
        else:
            is_new, is_full = counts[str(value)] == 0, counts[str(value)] >= max_per_value
        num_needed = min_values - sum(count > 0 for count in counts.values())
        if is_full or (num - len(kept) <= num_needed and not is_new):
            continue
        kept.append(position)
        if value is not None:
            counts[str(value)] += 1
    return kept
