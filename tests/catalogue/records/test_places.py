"""Places of records are kept as numbers and come back as text."""

from __future__ import annotations

import sys

from r4t_ray.catalogue.records.places import Places

GIVEN = ["a/0.jsonl:1", "a/0.jsonl:2", "a/0.jsonl:9", "a/1.parquet row 1", "a/1.parquet row 2", "a/10.csv:2"]


def test_places_come_back_as_they_were_added_each_time() -> None:
    places = Places()
    for place in GIVEN:
        places.append(place)
    assert list(places) == list(places) == GIVEN
    assert list(Places()) == []


def test_a_place_takes_eight_bytes() -> None:
    places = Places()
    for number in range(10_000):
        places.append(f"a/very/long/path/to/a/file.jsonl:{number}")
    assert sys.getsizeof(places._numbers) < 10_000 * 8 * 1.25
    assert len(places._heads) == 1
