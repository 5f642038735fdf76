"""Rules of the code: keyword-only dataclasses, short calls, small folders, one name of loggers, no import circles."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "r4t_ray"
MODULES = sorted(PACKAGE.rglob("*.py"))
BENCHMARKS = sorted((PACKAGE.parent / "benchmarks").rglob("*.py"))
MAX_POSITIONAL = 5
MAX_MODULES = 15
ONE_FILE_A_MEMBER = {"methods"}
"""Folders with one file for each member of a family. They may hold any number of files."""


def short(path: Path) -> str:
    return path.relative_to(PACKAGE.parent).as_posix()


def name_of(node: ast.expr) -> str:
    """The last name of a dotted expression: `dataclass` of `dataclasses.dataclass(frozen=True)`."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def positional_dataclasses(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        for decorator in node.decorator_list if isinstance(node, ast.ClassDef) else ():
            given = {word.arg: word.value for word in decorator.keywords} if isinstance(decorator, ast.Call) else {}
            is_kw_only = isinstance(given.get("kw_only"), ast.Constant) and given["kw_only"].value is True
            if name_of(decorator) == "dataclass" and not is_kw_only:
                found.append(f"{node.name} (line {node.lineno})")
    return found


def long_calls(tree: ast.AST) -> list[str]:
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [f"{name_of(call)} (line {call.lineno})" for call in calls if len(call.args) > MAX_POSITIONAL]


def misnamed_loggers(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and name_of(node.value) == "getLogger":
            found += [name_of(target) for target in node.targets if name_of(target) != "_logger"]
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(tree: ast.AST, known: set[str]) -> Iterator[str]:
    """Modules that a module imports, including imports in functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                if below in known or node.module in known:
                    yield below if below in known else node.module


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or through other modules."""
    reached = {name: reachable(graph, name) for name in graph}
    groups = {tuple(sorted(other for other in reached[name] if name in reached[other])) for name in graph}
    return sorted(list(group) for group in groups if group)


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    pending = list(graph[start])
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += graph[name]
    return found


def parsed(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("check", [positional_dataclasses, long_calls, misnamed_loggers])
def test_dataclasses_are_keyword_only_calls_are_short_and_loggers_have_one_name(
    check: Callable[[ast.AST], list[str]],
) -> None:
    assert {short(path): found for path in [*MODULES, *BENCHMARKS] if (found := check(parsed(path)))} == {}


def test_folders_are_small() -> None:
    counts = Counter(path.parent for path in MODULES if path.stem not in ("__init__", "__main__"))
    assert {
        short(folder): count
        for folder, count in counts.items()
        if count > MAX_MODULES and folder.name not in ONE_FILE_A_MEMBER
    } == {}


def test_there_is_no_import_circle() -> None:
    known = {module_name(path) for path in MODULES}
    graph = {module_name(path): set(imports_of(parsed(path), known)) for path in MODULES}
    assert circles(graph) == []


FAULTY = """
import logging
from dataclasses import dataclass
import dataclasses

log = logging.getLogger(__name__)

@dataclass
class Bare: ...

@dataclasses.dataclass(frozen=True, kw_only=False)
class Said: ...

@dataclass(frozen=True, kw_only=True)
class Fine: ...

build(1, 2, 3, 4, 5, *others)
build(1, 2, 3, 4, 5, sixth=6)
"""


def test_the_checks_find_faults() -> None:
    tree = ast.parse(FAULTY)
    assert positional_dataclasses(tree) == ["Bare (line 9)", "Said (line 12)"]
    assert long_calls(tree) == ["build (line 17)"]
    assert misnamed_loggers(tree) == ["log"]


@pytest.mark.parametrize(
    "source",
    [
        "from room import b",
        "from room.b import x",
        "import room.b",
        "def f():\n    import room.b",
        "if TYPE_CHECKING:\n    from room.b import X",
    ],
)
def test_every_kind_of_import_counts(source: str) -> None:
    assert list(imports_of(ast.parse(source), {"room", "room.a", "room.b"})) == ["room.b"]


def test_circles_are_found_at_any_length() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"e"}}
    assert circles(graph) == [["a", "b", "c"], ["e"]]
    assert circles(graph | {"c": {"d"}, "e": set()}) == []
