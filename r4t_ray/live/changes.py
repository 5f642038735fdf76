"""One change of a pool, and its line in the log: JSON with a sequence number and the sha256 of its other fields."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from r4t_ray.artifacts.inputs import hash_json
from r4t_ray.errors import ArtifactError
from r4t_ray.types import Array, LivePool

CHECKSUM = "sha256"


@dataclass(frozen=True, kw_only=True)
class Change:
    """An upsert of entries, or their deletion.

    Attributes:
        sequence: Number of the change, 1 more than the number of the one before it.
        pool: Where the entries are.
        ids: Their ids, each once.
        texts: Their texts in answers; empty for a deletion.
        filters: What filters read: the attributes of each item as the text of a JSON object, or the item ids of each
            set; empty for a deletion.
        emb_MD: Their unit embeddings; None for a deletion.
    """

    sequence: int
    pool: LivePool
    ids: tuple[str, ...]
    texts: tuple[str, ...] = ()
    filters: tuple[str | tuple[str, ...], ...] = ()
    emb_MD: Array | None = None


def line_of(change: Change) -> bytes:
    """The line of a change in the log, with its end. Reading it needs no encoder."""
    fields: dict[str, Any] = {"sequence": change.sequence, "pool": change.pool, "ids": change.ids}
    if change.emb_MD is None:
        return signed({"change": "delete", **fields})
    numbers = np.ascontiguousarray(change.emb_MD, dtype="<f4").tobytes()
    emb = base64.b64encode(numbers).decode("ascii")
    return signed({"change": "upsert", **fields, "texts": change.texts, "filters": change.filters, "emb": emb})


def change_of(fields: dict[str, Any], dim: int, where: str) -> Change:
    """The change of a line that ``verified`` read; raises ArtifactError if it is no change, or has another width."""
    try:
        ids, pool = tuple(fields["ids"]), fields["pool"]
        if fields["change"] == "delete" and pool in ("items", "sets"):
            return Change(sequence=fields["sequence"], pool=pool, ids=ids)
        numbers = np.frombuffer(base64.b64decode(fields["emb"], validate=True), "<f4")
        filters = tuple(value if isinstance(value, str) else tuple(value) for value in fields["filters"])
        texts, emb_MD = tuple(fields["texts"]), numbers.reshape(len(ids), dim).astype(np.float32)
        if fields["change"] != "upsert" or pool not in ("items", "sets") or not len(ids) == len(texts) == len(filters):
            raise ValueError("a change of another kind")
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise _broken(where, f"no change ({error})") from None
    return Change(sequence=fields["sequence"], pool=pool, ids=ids, texts=texts, filters=filters, emb_MD=emb_MD)


def signed(fields: dict[str, Any]) -> bytes:
    """A line with the fields and their checksum."""
    return (json.dumps({**fields, CHECKSUM: hash_json(fields)}, ensure_ascii=False) + "\n").encode()


def verified(line: bytes, where: str) -> dict[str, Any]:
    """The fields of a line, without the checksum; raises ArtifactError if the line was changed."""
    try:
        fields: dict[str, Any] = json.loads(line)
        checksum = fields.pop(CHECKSUM)
    except (ValueError, KeyError, AttributeError, TypeError):
        raise _broken(where, f"no line of a log ({line[:40]!r})") from None
    if checksum != hash_json(fields):
        raise _broken(where, "another checksum")
    return fields


def _broken(where: str, got: str) -> ArtifactError:
    fix = "put a copy of the file in its place; if the machine lost power and this is the last line, remove it"
    return ArtifactError(where, got, "a line as it was written", fix)
