"""The list of relevant sets judges answers. Nothing that makes answers, or trains, may read it."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

from r4t_ray.evaluation.bench import Bench

PACKAGE = Path(__file__).parents[2] / "r4t_ray"
WRITER, JUDGES = "catalogue", {"evaluation", "drift"}
ANSWERERS = PACKAGE / "evaluation" / "methods"
READERS = {"load_relevance", "relevant_sets"}
MODULE = "r4t_ray.catalogue.queries.relevance"
FILES = {"relevance", "relevance.parquet"}


def reads(source: str) -> bool:
    """Whether the code reads the list: by a function's name, an import of its module, or the name of its file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name | ast.Attribute | ast.alias):
            name = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None)
            if name in READERS or name == MODULE:
                return True
        if isinstance(node, ast.ImportFrom) and node.module == MODULE:
            return True
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.split("/")[-1] in FILES:
            return True
    return False


def test_only_evaluation_and_drift_read_the_relevant_sets() -> None:
    found = [path for path in PACKAGE.rglob("*.py") if reads(path.read_text(encoding="utf-8"))]
    assert {path.relative_to(PACKAGE).parts[0] for path in found} - {WRITER} <= JUDGES
    assert [path for path in found if path.is_relative_to(ANSWERERS)] == []
    assert PACKAGE / WRITER / "ingest.py" in found


def test_a_method_is_not_handed_the_relevant_sets() -> None:
    assert [field.name for field in fields(Bench) if "relevan" in field.name] == []


def test_every_way_to_read_them_is_found() -> None:
    assert reads("from r4t_ray.catalogue import load_relevance")
    assert reads("from r4t_ray.catalogue.queries.relevance import core_words")
    assert reads("import r4t_ray.catalogue.queries.relevance")
    assert reads("catalogue.load_relevance(workspace)")
    assert reads("pq.read_table(folder / 'relevance.parquet')")
    assert reads("pq.read_table('catalogue/relevance.parquet')")
    assert reads("_rows(workspace, 'relevance')")
    assert not reads('"""What ingest writes to relevance.parquet."""\nmmr = "weight of relevance"\nrelevance = 1')
