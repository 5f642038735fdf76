"""The one reading layer for records: items, sets, query logs and new entries, in every form of file.

It streams. A record is made of JSON values, whatever its form was, and has its place in the file for messages.
"""

from __future__ import annotations

from r4t_ray.catalogue.records.count import count_records
from r4t_ray.catalogue.records.fields import (
    Fields,
    Record,
    choice_field,
    id_field,
    ids_field,
    object_field,
    optional_ids_field,
    text_field,
)
from r4t_ray.catalogue.records.parts import FORMS_IN_WORDS, has_records, sha256_of_records
from r4t_ray.catalogue.records.reader import given_records, read_records
from r4t_ray.catalogue.records.text_files import text_lines
from r4t_ray.catalogue.records.values import json_value, parse_json
from r4t_ray.catalogue.records.vectors import VectorBatch, read_vectors, vector_batches

__all__ = [
    "FORMS_IN_WORDS",
    "Fields",
    "Record",
    "VectorBatch",
    "choice_field",
    "count_records",
    "given_records",
    "has_records",
    "id_field",
    "ids_field",
    "json_value",
    "object_field",
    "optional_ids_field",
    "parse_json",
    "read_records",
    "read_vectors",
    "sha256_of_records",
    "text_field",
    "text_lines",
    "vector_batches",
]
