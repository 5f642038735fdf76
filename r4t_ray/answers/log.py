"""Reads and checks a log of queries, and copies it to one parquet file. Memory grows by 8 bytes for each id.

A record has a ``text``, and optionally ``query_id`` and ``task``. Other fields are ignored. A file .txt has one query
per line.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.catalogue.catalogue import check_ids
from r4t_ray.catalogue.records import (
    Fields,
    Record,
    choice_field,
    id_field,
    read_records,
    sha256_of_records,
    text_field,
    text_lines,
)
from r4t_ray.errors import DataError, RequestError
from r4t_ray.files import sha256_file
from r4t_ray.retrieval.generation import generation_request
from r4t_ray.retrieval.open_task import OpenTask
from r4t_ray.retrieval.request import RetrieveRequest, parse_request
from r4t_ray.retrieval.retriever import no_language_model
from r4t_ray.types import Task

LOG_FIELDS = Fields(required=("text",), optional=("query_id", "task"))
LINES = (".txt", ".txt.gz")
"""Ends the name of a file with one query per line."""
QUERIES = pa.schema([("row", pa.int64()), ("query_id", pa.string()), ("text", pa.string()), ("task", pa.string())])
"""The columns of the copy. ``row`` counts the queries of the log from 0."""


def sha256_of_log(path: Path) -> str:
    """The sha256 of a log's contents; raises DataError if it cannot be read."""
    return sha256_file(path.expanduser()) if _has_lines(path) else sha256_of_records(path)


def copy_log(
    path: Path, copy: Path, *, template: RetrieveRequest, tasks: Mapping[Task, OpenTask], queries_per_file: int
) -> int:
    """Check every query of a log and write it to ``copy``, ``queries_per_file`` queries in a row group.

    Args:
        path: A file, a folder of parts or a glob, as ``read_records`` takes; or a text file with one query per line.
        copy: The parquet file to write, with the columns QUERIES.
        template: The fields that all queries share. Its task is the task of the records that name none.
        tasks: The tasks that are served.
        queries_per_file: Most queries in a row group. Only the last one has fewer.

    Returns:
        The number of queries.

    Raises:
        DataError: The log cannot be read or has no query; a text is empty or too long; a task is not served; or an id
            breaks the rule or occurs twice. The message names the file and the line or row.
        RequestError: The model of a task that is used cannot serve the ``k`` or the ``guidance`` of the template, or
            the template has the method folm.
    """
    hashes = array("Q")
    rows = _checked(path, template, tasks, hashes)
    num_queries = 0
    with pq.ParquetWriter(copy, QUERIES, compression="zstd") as writer:
        while group := list(islice(rows, queries_per_file)):
            numbered = [{"row": num_queries + at, **row} for at, row in enumerate(group)]
            writer.write_table(pa.Table.from_pylist(numbered, QUERIES))
            num_queries += len(group)
    if not num_queries:
        raise DataError(str(path), "no queries", "at least one query", "check the path of the file")
    _check_once(path, hashes)
    return num_queries


def _checked(
    path: Path, template: RetrieveRequest, tasks: Mapping[Task, OpenTask], hashes: array[int]
) -> Iterator[dict[str, str | None]]:
    """The id, text and task of each query; adds the hashes of the ids to ``hashes``."""
    if template.method == "folm":
        raise no_language_model("this process")
    shared = {name: value for name, value in template if name not in ("query", "task")}
    for place, fields in _records(path):
        query_id = _id_of(place, fields)
        task = choice_field(place, fields, "task", tuple(tasks)) or template.task
        assert task is not None, "the template names the default task"
        try:
            request = parse_request(query=text_field(place, fields, "text"), task=task, **shared)
        except RequestError as error:  # the other fields were checked before
            fix = "write the query in fewer words, or remove the record"
            raise DataError(place, f"text = {error.got}", error.expected, fix) from None
        generation_request(request, tasks[task])  # checks k and guidance
        if query_id is not None:
            hashes.append(_hash(query_id))
        yield {"query_id": query_id, "text": request.query, "task": task}


def _records(path: Path) -> Iterator[Record]:
    if not _has_lines(path):
        yield from read_records(path, LOG_FIELDS)
        return
    for number, line in enumerate(text_lines(path.expanduser()), 1):
        if line.strip():
            yield f"{path}:{number}", {"text": line}


def _has_lines(path: Path) -> bool:
    return path.name.lower().endswith(LINES) and path.expanduser().is_file()


def _id_of(place: str, fields: Mapping[str, object]) -> str | None:
    """The id of a record, or None if it has none; raises DataError if it breaks the rule for ids."""
    if fields.get("query_id") is None:
        return None
    query_id = id_field(place, dict(fields), "query_id")
    check_ids("query_id", [query_id], [place])
    return query_id


def _check_once(path: Path, hashes: array[int]) -> None:
    """Raise DataError if an id occurs twice. The log is read again only if two hashes are equal."""
    values, counts = np.unique(np.frombuffer(hashes, np.uint64), return_counts=True)
    repeated: Collection[int] = set(values[counts > 1].tolist())
    first: dict[str, str] = {}
    for place, fields in _records(path) if repeated else ():
        query_id = _id_of(place, fields)
        if query_id is not None and _hash(query_id) in repeated:
            if query_id in first:
                check_ids("query_id", [query_id, query_id], [first[query_id], place])
            first[query_id] = place


def _hash(query_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(query_id.encode(), digest_size=8).digest())
