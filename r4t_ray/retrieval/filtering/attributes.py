"""Attributes of a pool in typed columns, and the rows of the pool that pass a filter.

Each attribute has a column for every type of value that occurs: text, number, flag (true or false) and object. A column
lists the items that have a value and the number of each value among the distinct ones, so an attribute that few items
have takes little memory. pyarrow.compute tests the distinct values only.

- Values of different types differ. Numbers are 64-bit floats, exact up to 2**53 for integers.
- A list holds its elements: ``eq``, ``in`` and ``range`` ask for one of them. An object only ``exists``.
- An item without the attribute fails ``eq``, ``in``, ``range`` and ``exists``, so it passes ``not`` of them.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from r4t_ray.retrieval.filtering.filters import Bounds, Filter, Scalar
from r4t_ray.types import Mask, Rows

Kind = Literal["text", "number", "flag", "object"]

ARROW_TYPES: dict[Kind, pa.DataType] = {
    "text": pa.large_string(),
    "number": pa.float64(),
    "flag": pa.bool_(),
    "object": pa.bool_(),
}
COMPARED: tuple[Kind, ...] = ("text", "number", "flag")

TESTS: dict[str, Callable[[pa.Array, Scalar], pa.Array]] = {
    "gte": pc.greater_equal,
    "gt": pc.greater,
    "lte": pc.less_equal,
    "lt": pc.less,
}
Ints = NDArray[np.int32]
MOST_FILTERS = 16
"""Filters whose entries a pool knows. Each takes a byte for an entry."""


class Column(NamedTuple):
    """The values of one type of one attribute.

    Attributes:
        items_N: Item of each value, ascending. An item has several values if its attribute is a list.
        codes_N: Position of each value in ``distinct``.
        distinct: The different values.
    """

    items_N: Ints
    codes_N: Ints
    distinct: pa.Array


@dataclass(frozen=True, kw_only=True)
class ItemAttributes:
    """The attributes of all items of a catalogue, numbered in its order, new entries last.

    Attributes:
        columns: (attribute, type) -> its values.
        ids: Id of each item.
        texts: Its attributes as the text of a JSON object.
    """

    columns: dict[tuple[str, Kind], Column]
    ids: pa.ChunkedArray
    texts: pa.ChunkedArray

    @property
    def names(self) -> tuple[str, ...]:
        """Every attribute that an item has, sorted."""
        return tuple(sorted({name for name, _ in self.columns}))

    @cached_property
    def position_of(self) -> dict[str, int]:
        """Where each item is, by its id."""
        return {name: position for position, name in enumerate(self.ids.to_pylist())}

    def passing(self, wanted: Filter) -> Mask:
        """The items that pass, shape (N,). ``any`` is without effect, because an item is one."""
        if wanted.eq is not None:
            return self._holding(wanted.eq[0], (wanted.eq[1],))
        if wanted.among is not None:
            return self._holding(*wanted.among)
        if wanted.range is not None:
            return self._within(*wanted.range)
        if wanted.exists is not None:
            return self._having(wanted.exists)
        parts = (self.passing(part) for _, part in wanted.parts)
        return combined(wanted, parts)

    def _holding(self, attribute: str, values: Sequence[Scalar]) -> Mask:
        passing_N = self._none()
        for kind in COMPARED:
            same = pa.array([stored(value, kind) for value in values if kind_of(value) == kind], ARROW_TYPES[kind])
            if len(same):
                self._add(passing_N, attribute, kind, partial(pc.is_in, value_set=same))
        return passing_N

    def _within(self, attribute: str, bounds: Bounds) -> Mask:
        kind = kind_of(next(iter(bounds.stated.values())))

        def lies_within(distinct: pa.Array) -> pa.Array:
            tests = (TESTS[name](distinct, stored(bound, kind)) for name, bound in bounds.stated.items())
            return reduce(pc.and_, tests)

        return self._add(self._none(), attribute, kind, lies_within)

    def _having(self, attribute: str) -> Mask:
        passing_N = self._none()
        for name, kind in self.columns:
            if name == attribute:
                passing_N[self.columns[name, kind].items_N] = True
        return passing_N

    def _add(self, passing_N: Mask, attribute: str, kind: Kind, test: Callable[[pa.Array], pa.Array]) -> Mask:
        """Mark the items that have a value of the column for which the test is true."""
        if column := self.columns.get((attribute, kind)):
            is_true = test(column.distinct).to_numpy(zero_copy_only=False)
            passing_N[column.items_N[is_true[column.codes_N]]] = True
        return passing_N

    def _none(self) -> Mask:
        return np.zeros(len(self.ids), dtype=bool)


@dataclass(frozen=True, kw_only=True)
class PoolAttributes:
    """The attributes of the entries of a pool: of items (wscr), or of the items of each collection (oar).

    Attributes:
        items: All items of the catalogue.
        offsets_M1: Entry r holds ``members_N[offsets_M1[r] : offsets_M1[r + 1]]``.
        members_N: The items of the entries.
        are_items: Whether each entry is an item.
    """

    items: ItemAttributes
    offsets_M1: Rows
    members_N: Ints
    are_items: bool

    @cached_property
    def _last(self) -> dict[str, Mask]:
        return {}

    def passing(self, wanted: Filter) -> Mask:
        """The entries that pass, shape (M,), read-only. A collection without items passes only where none is asked for.

        A filter without ``any`` is tested on each item, and all items of the collection have to pass. ``and``, ``or``
        and ``not`` with an ``any`` inside combine what their parts say about the collection. The last MOST_FILTERS
        filters are known: a request tests its filter twice, and many requests have the same one.
        """
        key = repr(wanted)  # unlike the filter it tells 1 from true
        passing_M = self._last.get(key)
        if passing_M is None:
            passing_M = self._tested(wanted)
            passing_M.flags.writeable = False
            self._last[key] = passing_M
            for oldest in [*self._last][:-MOST_FILTERS]:
                self._last.pop(oldest, None)
        return passing_M

    def _tested(self, wanted: Filter) -> Mask:
        if wanted.some is not None:
            return self._num_passing(wanted.some) > 0
        if wanted.asks_for_one:
            return combined(wanted, (self._tested(part) for _, part in wanted.parts))
        size_M = np.diff(self.offsets_M1)
        return (size_M > 0) & (self._num_passing(wanted) == size_M)

    def holding(self, ids: Iterable[str]) -> Mask:
        """The entries that hold one of the items, shape (M,). Unknown ids are held by none."""
        places = [self.items.position_of[name] for name in ids if name in self.items.position_of]
        held_N1 = np.concatenate([[0], np.cumsum(np.isin(self.members_N, places))])
        return np.asarray(held_N1[self.offsets_M1[1:]] > held_N1[self.offsets_M1[:-1]], dtype=bool)

    def values_of(self, attribute: str) -> EntryValues:
        """The values of an attribute in a pool of items."""
        columns = [self.items.columns[attribute, kind] for kind in COMPARED if (attribute, kind) in self.items.columns]
        return EntryValues(columns=columns, items_M=self.members_N, num_items=len(self.items.ids))

    def payload(self, row: int) -> dict[str, Any]:
        """The attributes of an entry. A collection has {"items": [{"id": ..., "attributes": {...}}, ...]}."""
        items = self.members_N[self.offsets_M1[row] : self.offsets_M1[row + 1]].tolist()
        attributes: list[dict[str, Any]] = [json.loads(self.items.texts[item].as_py()) for item in items]
        if self.are_items:
            return attributes[0]
        ids = [self.items.ids[item].as_py() for item in items]
        return {"items": [{"id": key, "attributes": each} for key, each in zip(ids, attributes, strict=True)]}

    def _num_passing(self, wanted: Filter) -> Rows:
        """How many items of each entry pass, shape (M,)."""
        passed_N1 = np.concatenate([[0], np.cumsum(self.items.passing(wanted)[self.members_N])])
        return np.asarray(passed_N1[self.offsets_M1[1:]] - passed_N1[self.offsets_M1[:-1]], np.int64)


@dataclass(frozen=True, kw_only=True)
class EntryValues:
    """The values of one attribute by entry of a pool of items, as pairs (number of the column, number of the value)."""

    columns: Sequence[Column]
    items_M: Ints
    num_items: int

    def of(self, row: int) -> set[tuple[int, int]]:
        """The values of one entry: none, one, or those of a list."""
        item, values = self.items_M[row], set[tuple[int, int]]()
        for number, column in enumerate(self.columns):
            start, stop = np.searchsorted(column.items_N, [item, item + 1])
            values |= {(number, code) for code in column.codes_N[start:stop].tolist()}
        return values

    def rows_with(self, values: Iterable[tuple[int, int]]) -> Mask:
        """The entries that have one of the values, shape (M,)."""
        is_with_N = np.zeros(self.num_items, dtype=bool)
        wanted = [np.zeros(len(column.distinct), dtype=bool) for column in self.columns]
        for number, code in values:
            wanted[number][code] = True
        for column, is_wanted in zip(self.columns, wanted, strict=True):
            is_with_N[column.items_N[is_wanted[column.codes_N]]] = True
        return is_with_N[self.items_M]


def combined(wanted: Filter, parts: Iterable[Mask]) -> Mask:
    """What an ``and``, ``or``, ``not`` or ``any`` says, from what its parts say."""
    masks = list(parts)
    if wanted.negated is not None:
        return ~masks[0]
    return np.asarray((np.logical_or if wanted.one_of else np.logical_and).reduce(masks), dtype=bool)


def typed_columns(batches: Iterable[Sequence[str]]) -> dict[tuple[str, Kind], Column]:
    """The columns of items whose attributes are texts of JSON objects. Python holds the values of one batch at a time.

    >>> columns = typed_columns([['{"size": [1, 2]}', '{"size": "L"}', '{}']])
    >>> {name: (column.items_N.tolist(), column.distinct.to_pylist()) for name, column in columns.items()}
    {('size', 'number'): ([0, 0], [1.0, 2.0]), ('size', 'text'): ([1], ['L'])}
    """
    parts: defaultdict[tuple[str, Kind], list[tuple[Ints, pa.Array]]] = defaultdict(list)
    start = 0
    for texts in batches:
        found: defaultdict[tuple[str, Kind], tuple[list[int], list[Any]]] = defaultdict(lambda: ([], []))
        for item, text in enumerate(texts, start):
            for name, value in json.loads(text).items():
                for one in value if isinstance(value, list) else (value,):
                    if one is not None:
                        kind = kind_of(one)
                        found[name, kind][0].append(item)
                        found[name, kind][1].append(stored(one, kind))
        for key, (items, values) in found.items():
            parts[key].append((np.array(items, np.int32), pa.array(values, ARROW_TYPES[key[1]])))
        start += len(texts)
    return {key: _column(parts.pop(key)) for key in list(parts)}


def kind_of(value: Any) -> Kind:
    """The type of a value of JSON. A number that a 64-bit float cannot hold is an object: it only exists."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int | float):
        return "number" if abs(value) <= sys.float_info.max else "object"
    return "object"


def stored(value: Any, kind: Kind) -> str | float | bool:
    """A value as its column holds it; an object as true."""
    stored_value: str | float | bool = float(value) if kind == "number" else kind == "object" or value
    return stored_value


def _column(parts: Sequence[tuple[Ints, pa.Array]]) -> Column:
    encoded = pa.concat_arrays([values for _, values in parts]).dictionary_encode()
    return Column(np.concatenate([items for items, _ in parts]), encoded.indices.to_numpy(), encoded.dictionary)
