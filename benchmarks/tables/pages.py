"""The tables in docs/: the result that each table shows, and the markers between which it is written.

A page holds ``<!-- table: NAME -->`` and ``<!-- end of table -->``; the text between them is generated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.harness import Result, Table
from benchmarks.tables import autoscale, faults, filters, frontier, quality, report, search, serve, set_rules, speed

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
MARKED = re.compile(r"(?<=<!-- table: )([\w-]+)( -->\n).*?(<!-- end of table -->)", re.DOTALL)

QUALITY_ROWS = (
    ("sde", 64),
    ("sde", 4),
    ("heun", 7),
    ("dpmpp_2m", 8),
    ("dpmpp_2m", 4),
    ("euler", 4),
    ("dpmpp_2m", 3),
    ("euler", 3),
    ("euler", 2),
    ("student", 1),
    ("one_step", 1),
    ("top_anchors", 1),
    ("euler", 1),
)
CATALOGUES = ("cookbook", "recipes", "polyvore", "software")
SEEDS = ("report_cookbook", "report_cookbook_seed_1", "report_cookbook_seed_2")
TRAINING_RUNS = {
    "train_diffusion_h100": "the paper's network (54.1M), batches of 512, one H100",
    "train_diffusion_h100_compiled": "the same with `compile: true`",
    "train_diffusion_cpu_avx2": "the cookbook's network, batches of 64, two CPU cores with AVX2, one thread",
    "train_diffusion_cpu_avx2_2_threads": "the same, two threads",
    "train_diffusion_cpu": "the cookbook's network, batches of 64, two CPU cores with AMX, two threads",
}


def read(name: str) -> Result:
    """A result of ``benchmarks/results``."""
    return Result.read(RESULTS / f"{name}.json")


def _seeds() -> list[Result]:
    return [read(name) for name in SEEDS]


def _training() -> list[Table]:
    return [speed.train_diffusion_table([(label, read(name)) for name, label in TRAINING_RUNS.items()])]


TABLES: dict[str, Callable[[], Iterable[Table]]] = {
    "cookbook-oar": lambda: [report.small_table(_seeds(), "oar")],
    "cookbook-wscr": lambda: [report.small_table(_seeds(), "wscr")],
    "cookbook-oar-seeds": lambda: [report.seeds_table(_seeds(), "oar")],
    "cookbook-wscr-seeds": lambda: [report.seeds_table(_seeds(), "wscr")],
    "cookbook-oar-whole": lambda: [report.whole_table(read("report_cookbook"), "oar")],
    "cookbook-wscr-whole": lambda: [report.whole_table(read("report_cookbook"), "wscr")],
    "back-translation": lambda: [
        report.whole_table(read("report_back_translation"), "oar", report.BACK_TRANSLATION_COLUMNS)
    ],
    "frontier": lambda: frontier.frontier_tables(read("frontier_cookbook")),
    "cookbook-validation": lambda: [report.validation_table(read("report_cookbook"))],
    "wishes-oar": lambda: [report.whole_table(read("report_wishes"), "oar")],
    "written-oar": lambda: [report.whole_table(read("report_written"), "oar")],
    "recipes-oar": lambda: [report.whole_table(read("report_recipes"), "oar")],
    "recipes-wscr": lambda: [report.whole_table(read("report_recipes"), "wscr")],
    "polyvore-oar": lambda: [report.whole_table(read("report_polyvore"), "oar")],
    "polyvore-wscr": lambda: [report.whole_table(read("report_polyvore"), "wscr")],
    "software-oar": lambda: [report.whole_table(read("report_software"), "oar")],
    "software-wscr": lambda: [report.whole_table(read("report_software"), "wscr")],
    "catalogues": lambda: [report.catalogues_table([(name, read(f"report_{name}")) for name in CATALOGUES])],
    "embed": lambda: [speed.embed_table(read("embed_cpu"))],
    "first-stages": lambda: [speed.first_stages_table(read("first_stages"))],
    "runtimes": lambda: [speed.runtimes_table(read("runtimes_cookbook"))],
    "retrieve": lambda: [speed.retrieve_table(read("retrieve_cookbook"))],
    "autoscale": lambda: autoscale.autoscale_tables(read("autoscale_cookbook")),
    "search": lambda: [search.search_table(read("search_cookbook"))],
    "learner": lambda: [speed.learner_table(read("learner_gpu"))],
    "train-diffusion": _training,
    "train-folm": lambda: [speed.train_folm_table(read("train_folm_cpu"))],
    "quality": lambda: quality.quality_tables(read("quality_cookbook"), QUALITY_ROWS),
    "students": lambda: quality.students_tables(read("students_cookbook")),
    "fanout-oar": lambda: speed.fanout_tables(read("fanout_cookbook_oar")),
    "fanout-wscr": lambda: speed.fanout_tables(read("fanout_cookbook_wscr")),
    "fanout-paper": lambda: speed.fanout_tables(read("fanout_paper_h100"), 100.0, "graph"),
    "select-wscr": lambda: [quality.select_table(read("select_cookbook"))],
    "select-oar": lambda: [quality.select_table(read("select_cookbook_oar"))],
    "filters": lambda: filters.filter_tables(read("filters_cookbook")),
    "set-rules": lambda: set_rules.set_rules_tables(read("set_rules_polyvore")),
    "serve": lambda: serve.serve_tables(read("serve_cookbook")),
    "serve-places": lambda: serve.serve_tables(read("serve_places_cookbook")),
    "serve-int8": lambda: serve.serve_tables(read("serve_cookbook_int8")),
    "faults": lambda: [faults.faults_table(read("faults_cookbook"))],
    "wide": lambda: quality.wide_tables(read("wide_cookbook")),
    "synthesize-live": lambda: [speed.synthesize_live_table(read("synthesize_cpu"))],
    "synthesize-replay": lambda: [speed.synthesize_replay_table(read("synthesize_cpu"))],
}


def pages() -> list[Path]:
    """Markdown files that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def with_tables(text: str) -> str:
    """The text with every marked table generated; raises KeyError for a name that is not in ``TABLES``."""

    def generated(marked: re.Match[str]) -> str:
        body = "\n\n".join(table.markdown() for table in TABLES[marked[1]]())
        return f"{marked[1]}{marked[2]}\n{body}\n\n{marked[3]}"

    return MARKED.sub(generated, text)
