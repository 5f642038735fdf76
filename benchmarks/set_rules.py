"""Answers that keep a rule on the whole set, with nothing cut at query time, beside cheap answers cut to the rule.

``python -m benchmarks.set_rules WORKSPACE`` needs a workspace with finished catalogue, encoder and index stages, whose
items have the attribute. The set of an answer is the top item of every direction, and the rule is: at most
``max_per_value`` items with one value of the attribute, and at least ``min_values`` values. ``no_fanout, cut`` and
``mmr, cut`` walk down their rankings and skip what would break the rule. Trained models answer as they are. A run
learns the rule from an added reward (``folm.added_rewards.wscr``, ``type: constraint``) with the same three settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.retrievers import no_language_model
from benchmarks.tables.set_rules import set_rules_tables
from r4t_ray.artifacts import Workspace
from r4t_ray.evaluation.bench import Bench
from r4t_ray.evaluation.method_answer import Answer, answers_of_directions, picked_rows
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.scores import coverage_scores
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.evaluation.trial import Trial, folm_settings, load_policy, open_trial
from r4t_ray.folm import SharedEngine
from r4t_ray.folm.rollout.task_rewards import pool_entries
from r4t_ray.measures import first_keeping, keeps_rule, recall
from r4t_ray.measures.bootstrap import bootstrap_mean
from r4t_ray.retrieval.similarity import mmr_picks
from r4t_ray.rewards import OARConfig
from r4t_ray.types import Array, Rows

MODELS = ("r4t_folm", "r4t_diffusion")


class SetRulesSettings(BenchmarkSettings):
    """The workspace and the rule."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder with finished catalogue, encoder, index stages.")
    attribute: str = Field("category", description="Attribute of the items.")
    max_per_value: PositiveInt = Field(2, description="Largest number of items of a set with one value.")
    min_values: NonNegativeInt = Field(3, description="Smallest number of different values in a set.")
    language_models: bool = Field(False, description="Measure r4t_folm, whose engine takes a minute.")


def measure(settings: SetRulesSettings) -> Result:
    """Measure every method on the held-out WSCR (weakly supervised compositional retrieval) queries."""
    result, workspace = new_result("set_rules", settings), Workspace(settings.workspace)
    names = ("no_fanout", "mmr", *(name for name in MODELS if name != "r4t_folm" or settings.language_models))
    engine = SharedEngine(
        (lambda folder: load_policy(folder, folm_settings(workspace)))
        if settings.language_models
        else no_language_model
    )
    config = EvaluationConfig(methods=names, latency_batches=())
    trial = open_trial(config, workspace, "wscr", engine=engine, reward=OARConfig(), seed=0)
    bench = trial.make_bench()
    entries = pool_entries("wscr", workspace, bench.index.ids)
    values_M = [entry.attributes.get(settings.attribute) for entry in entries]
    for name in (name for name in names if name in trial.methods):
        answers = METHODS[name].answer(bench, trial.queries, trial.query_emb_BD, 0)
        result.rows.append(row_of(settings, trial, bench, values_M, answers) | {"method": name})
    for name in ("no_fanout", "mmr"):
        answers = cut(settings, trial, bench, values_M, 1.0 if name == "no_fanout" else bench.fits.tuned["mmr"])
        result.rows.append(row_of(settings, trial, bench, values_M, answers) | {"method": f"{name}, cut to the rule"})
    references = [[bench.index.ids.index(item) for item in query.item_ids] for query in trial.queries]
    kept = [keeps(settings, values_M, np.array(rows)) for rows in references]
    result.facts = {"queries": len(trial.queries), "references_that_keep_the_rule": float(np.mean(kept))}
    return result


def cut(
    settings: SetRulesSettings, trial: Trial, bench: Bench, values_M: Sequence[object], mmr_lambda: float
) -> list[Answer]:
    """Answers of MMR whose k picks keep the rule; lambda 1 is the plain ranking by cosine.

    A pick comes first in its direction, also before an item with the same embedding.
    """
    pick = partial(mmr_picks, num_picks=bench.num_candidates, mmr_lambda=mmr_lambda)
    ranked = picked_rows(bench.index, trial.query_emb_BD, bench.num_candidates, pick)
    kept = [
        rows[first_keeping([values_M[row] for row in rows], bench.k, settings.max_per_value, settings.min_values)]
        for rows in ranked
    ]
    found = answers_of_directions(bench.index, [bench.index.emb_MD[rows] for rows in kept], bench.n)
    return [
        replace(
            answer,
            hits_kn=np.array(
                [[row, *hits_n[hits_n != row][: bench.n - 1]] for row, hits_n in zip(rows, answer.hits_kn, strict=True)]
            ),
        )
        for rows, answer in zip(kept, found, strict=True)
    ]


def keeps(settings: SetRulesSettings, values_M: Sequence[object], rows: Rows) -> float:
    """1.0 if the set of pool rows keeps the rule, else 0.0."""
    values = [values_M[row] for row in dict.fromkeys(rows.tolist())]
    return keeps_rule(values, settings.max_per_value, settings.min_values)


def row_of(
    settings: SetRulesSettings, trial: Trial, bench: Bench, values_M: Sequence[object], answers: Sequence[Answer]
) -> ResultRow:
    """The share of sets that keep the rule, the recall of the sets and the recall of the whole answers."""
    budget, ids = bench.k * bench.n, bench.index.ids
    pairs = list(zip(answers, trial.queries, strict=True))
    found: dict[str, Array | list[Any]] = {
        "keeps_rule": [keeps(settings, values_M, answer.top_rows) for answer in answers],
        f"recall@{bench.k}": [
            recall({ids[row] for row in answer.top_rows.tolist()}, set(query.item_ids)) for answer, query in pairs
        ],
        f"recall@{budget}": [
            coverage_scores(answer, query, ids, budget)[f"recall@{budget}"] for answer, query in pairs
        ],
    }
    return {name: asdict(bootstrap_mean(np.asarray(of_B, np.float64), 1000, 0)) for name, of_B in found.items()}


BENCHMARK = Benchmark(
    name="set_rules", settings=SetRulesSettings, measure=measure, tables=set_rules_tables, about=__doc__
)

if __name__ == "__main__":
    BENCHMARK.main()
