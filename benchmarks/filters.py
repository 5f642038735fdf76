"""The quality of open-ended answers (OAR) whose filter passes a part of the entries.

``python -m benchmarks.filters WORKSPACE`` needs a workspace that can be served. A filter is a random part of the pool,
drawn ``--draws`` times for each share. Held-out themes with a relevant entry that passes are asked. The method
``r4t_diffusion, all entries`` takes its directions from the whole pool and filters their items alone.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.tables.filters import filter_tables
from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_queries, load_relevance
from r4t_ray.measures.bootstrap import bootstrap_mean, paired_difference
from r4t_ray.retrieval.backend import DirectionGenerator, InProcess
from r4t_ray.retrieval.filtering.attributes import ItemAttributes, PoolAttributes, typed_columns
from r4t_ray.retrieval.loading import open_tasks
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.retriever import retrieve
from r4t_ray.retrieval.settings import RetrievalSettings
from r4t_ray.types import Mask

FILTER = {"exists": "passes"}
SHARES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02)
OWN, WHOLE = "r4t_diffusion", "r4t_diffusion, all entries"
METHODS = {OWN: "diffusion", WHOLE: "diffusion", "no_fanout": "none", "mmr": "mmr"}


class FiltersSettings(BenchmarkSettings):
    """The workspace."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder with the stages that serving needs.")
    k: PositiveInt = Field(10, description="Directions, each with one item.")
    draws: PositiveInt = Field(3, description="Random parts of the pool for each share.")


def measure(settings: FiltersSettings) -> Result:
    """Measure every method at every share."""
    result, workspace = new_result("filters", settings), Workspace(settings.workspace)
    retrieval = RetrievalSettings()
    tasks, shards = open_tasks(workspace, retrieval, with_index=True)
    generator = DirectionGenerator.load(workspace, retrieval)
    whole = DirectionGenerator(generator.encoder, generator.retrievers, generator.samplers)
    queries = [query for query in load_queries(workspace, "oar") if query.split == "test"]
    relevant = load_relevance(workspace, [query.query_id for query in queries])
    opened = tasks["oar"]
    for share in SHARES:
        # By method, measure and query: its values in each draw in which a relevant entry passes.
        values: defaultdict[tuple[str, str], defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for passing_M in parts_of(len(opened.pool.ids), share, settings.draws):
            narrowed = replace(opened, attributes=marked(passing_M))
            passing = {name for name, passes in zip(opened.pool.ids, passing_M.tolist(), strict=True) if passes}
            for query in queries:
                wanted = passing & relevant[query.query_id]
                for name, method in METHODS.items() if wanted else ():
                    backend = InProcess(generator=whole if name == WHOLE else generator, shards=shards)
                    size = {"n": 1} if method == "diffusion" else {"total": settings.k}
                    request = parse_request(query=query.text, k=settings.k, method=method, filter=FILTER, **size)
                    answer = retrieve(request, narrowed, backend)
                    tops = {item.id for direction in answer.directions for item in direction.items}
                    precision = len(tops & wanted) / settings.k
                    values[name, "theme_precision"][query.query_id].append(precision)
                    values[name, "vendi"][query.query_id].append(answer.set_metrics.vendi)
        result.rows += rows_of(share, values)
    return result


def parts_of(size: int, share: float, draws: int) -> Iterator[Mask]:
    """Random parts of a pool, drawn with fixed seeds."""
    for seed in range(draws):
        passing_M = np.zeros(size, dtype=bool)
        passing_M[np.random.default_rng(seed).permutation(size)[: round(share * size)]] = True
        yield passing_M


def marked(passing_M: Mask) -> PoolAttributes:
    """A pool of items of which those that pass have the attribute of FILTER."""
    texts = [json.dumps({FILTER["exists"]: True} if passes else {}) for passes in passing_M.tolist()]
    rows = np.arange(len(texts) + 1)
    ids = pa.chunked_array([pa.array(map(str, rows[:-1].tolist()), pa.string())])
    items = ItemAttributes(columns=typed_columns([texts]), ids=ids, texts=pa.chunked_array([texts]))
    return PoolAttributes(items=items, offsets_M1=rows, members_N=rows[:-1].astype(np.int32), are_items=True)


def rows_of(share: float, values: Mapping[tuple[str, str], Mapping[str, list[float]]]) -> Iterator[ResultRow]:
    """One row a method and measure, with the difference of ours to it, paired by query."""
    means = {key: np.array([np.mean(draws) for draws in by_query.values()]) for key, by_query in values.items()}
    for (name, measured), of_B in means.items():
        yield {
            "share": share,
            "method": name,
            "measure": measured,
            "value": asdict(bootstrap_mean(of_B, 1000, 0)),
            "ours_minus_it": asdict(paired_difference(means[OWN, measured], of_B, 1000, 0)),
        }


BENCHMARK = Benchmark(name="filters", settings=FiltersSettings, measure=measure, tables=filter_tables, about=__doc__)

if __name__ == "__main__":
    BENCHMARK.main()
