"""The attributes of a pool after live changes: new items follow the items of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from r4t_ray.retrieval.filtering.attributes import Column, Ints, ItemAttributes, PoolAttributes, typed_columns


def with_items(items: ItemAttributes, ids: Sequence[str], texts: Sequence[str]) -> ItemAttributes:
    """The attributes with more items at the end.

    Args:
        items: The items so far. They stay, also those that the new ones replace.
        ids: Ids of the new items.
        texts: Their attributes, each as the text of a JSON object.
    """
    added = typed_columns([texts])
    columns = {key: joined(items.columns.get(key), column, len(items.ids)) for key, column in added.items()}
    return ItemAttributes(
        columns=items.columns | columns,
        ids=pa.chunked_array([*items.ids.chunks, pa.array(ids, pa.string())]),
        texts=pa.chunked_array([*items.texts.chunks, pa.array(texts, pa.string())]),
    )


def joined(former: Column | None, added: Column, num_items: int) -> Column:
    """A column with the values of items that follow ``num_items`` others."""
    items_N = (added.items_N + num_items).astype(np.int32)
    if former is None:
        return added._replace(items_N=items_N)
    codes = pc.index_in(added.distinct, value_set=former.distinct)
    is_new = codes.is_null()
    code_of = codes.fill_null(0).to_numpy().copy()
    is_new_N = is_new.to_numpy(zero_copy_only=False)
    code_of[is_new_N] = len(former.distinct) + np.arange(is_new_N.sum())
    return Column(
        np.concatenate([former.items_N, items_N]),
        np.concatenate([former.codes_N, code_of[added.codes_N]]).astype(np.int32),
        pa.concat_arrays([former.distinct, added.distinct.filter(is_new)]),
    )


def with_entries_of_items(pool: PoolAttributes, items: ItemAttributes) -> PoolAttributes:
    """The attributes of a pool of items whose new rows are the new items of ``with_items``."""
    new = np.arange(len(pool.items.ids), len(items.ids))
    members_N = np.concatenate([pool.members_N, new]).astype(np.int32)
    return replace(pool, items=items, members_N=members_N, offsets_M1=np.arange(len(members_N) + 1))


def with_sets(
    pool: PoolAttributes, items: ItemAttributes, moved: Mapping[str, int | None], sets: Sequence[Sequence[str]]
) -> PoolAttributes:
    """The attributes of a pool of sets after changes of items and new sets at its end.

    Args:
        pool: The sets before.
        items: The items after, from ``with_items``.
        moved: Id of each changed item -> its position in ``items``, or None if it was deleted. Sets lose deleted items.
        sets: The item ids of the new sets.
    """
    place_of = pool.items.position_of
    moved_N: Ints = np.arange(len(pool.items.ids), dtype=np.int32)
    for name, at in moved.items():
        if name in place_of:
            moved_N[place_of[name]] = -1 if at is None else at
    places = [[moved[name] if name in moved else place_of.get(name) for name in row] for row in sets]
    new = [[place for place in row if place is not None] for row in places]
    members_N = np.concatenate([moved_N[pool.members_N], np.array([one for row in new for one in row], np.int32)])
    sizes = np.concatenate([np.diff(pool.offsets_M1), np.array([len(row) for row in new], np.int64)])
    kept_N = members_N >= 0
    owner_N = np.repeat(np.arange(len(sizes)), sizes)
    sizes = np.bincount(owner_N[kept_N], minlength=len(sizes))
    offsets_M1 = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return replace(pool, items=items, members_N=members_N[kept_N], offsets_M1=offsets_M1)
