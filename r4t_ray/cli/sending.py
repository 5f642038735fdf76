"""Sends the entries of files, and ids, to a running server as live changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from r4t_ray.catalogue import read_ids
from r4t_ray.catalogue.datasets.sets import ITEM_FIELDS, SET_FIELDS
from r4t_ray.catalogue.records import Record, read_records
from r4t_ray.errors import RequestError
from r4t_ray.retrieval.client import Client
from r4t_ray.types import LivePool

MOST_RECORDS, MOST_BYTES = 256, 100_000
"""Records in one request, and bytes of their JSON. A longer record goes alone."""
MOST_IDS = 1_000


def send_entries(client: Client, pool: LivePool, path: Path) -> int:
    """Upsert the records of a file, a folder of parts or a glob, batch by batch; gives their number.

    Vectors are sent from the field that the server reads.

    Raises:
        DataError: A file cannot be read.
        RequestError: The server refused a batch, with the place of the record in its file. Earlier batches are kept.
    """
    field = client.index().embedding_field
    fields = replace(ITEM_FIELDS if pool == "items" else SET_FIELDS, vectors=(field,) if field else ())
    num = 0
    for batch in batches(read_records(path, fields)):
        try:
            num += client.upsert(pool, [record for _, record in batch]).changed
        except RequestError as error:
            raise _at_its_place(error, batch) from None
    return num


def send_deletions(client: Client, pool: LivePool, path: Path) -> tuple[int, list[str]]:
    """Delete the entries whose ids a file has, one per line; gives their number and the ids that no entry has.

    Raises:
        DataError: The file cannot be read.
        RequestError: The server refused.
    """
    ids = read_ids(path)
    replies = [client.delete(pool, ids[start : start + MOST_IDS]) for start in range(0, len(ids), MOST_IDS)]
    return sum(reply.changed for reply in replies), [name for reply in replies for name in reply.unknown]


def batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    """The records with their places, in batches that a request takes. Arrays become lists."""
    batch: list[Record] = []
    size = 0
    for place, found in records:
        record = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in found.items()}
        own = len(json.dumps(record))
        if batch and (len(batch) == MOST_RECORDS or size + own > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((place, record))
        size += own
    if batch:
        yield batch


def _at_its_place(error: RequestError, batch: list[tuple[str, dict[str, Any]]]) -> RequestError:
    """The error of a server with the place of its record in the file."""
    head, _, number = error.where.partition(".")
    number = number.partition(".")[0]
    if head != "records" or not number.isdigit() or int(number) >= len(batch):
        return error
    return RequestError(batch[int(number)][0], error.got, error.expected, error.fix)
