"""Any catalogue ends with artifacts, or with an R4TError that names the file and the place. Nothing is half-written."""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import SetsConfig, load_items, load_queries, load_relevance, load_sets, run
from r4t_ray.errors import DataError
from r4t_ray.ids import id_fault

from .forms import FORMS, Row

LATIN = ("soup", "red lamp", "Crème brûlée", "naïve", "İstanbul", "ß", "shirt, white", '"quoted"', "50%", "a/b")
SCRIPTS = ("हिन्दी रसोई", "ガラスの器", "чай", "ต้มยำ", "한국 요리", "שלום עולם", "مطبخ", "中文 菜", "\u0e01\u0e33", "#1")
SIGNS = ("\U0001f35c", "e\u0301", "a\u200db", "\u200b", "\ufeff", "a\u2028b", "line\nbreak", "tab\tcell", "\0", "...")
WORDS = (*LATIN, *SCRIPTS, *SIGNS)
ODD_TEXTS = ("", " ", "caf\ud83d", "x" * 201, "[", "[]", '["i0"]', "{}", '{"a": "\\ud83d"}', "null", "a;b", "i0 ")
ODD_VALUES = st.one_of(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    st.sampled_from(ODD_TEXTS),
    st.lists(st.sampled_from(["i0", "i1", "none", 0, "0"]), min_size=1, max_size=3),
    st.lists(st.integers() | st.text(max_size=2) | st.none(), max_size=3),
    st.dictionaries(st.text(max_size=2), st.floats() | st.none() | st.lists(st.booleans(), max_size=2), max_size=2),
    st.sampled_from([date(2024, 1, 2), datetime(1, 1, 1, tzinfo=UTC), timedelta(1), Decimal("9.90"), b"\xff", b"text"]),
)
SIZES = st.sampled_from([1, 1, 2, 2, 3, 3, 5, 8, 13, 30]) | st.integers(1, 100) | st.integers(1, 500)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change to a good table: a field of a row gets another value or goes, or the row is repeated.

    ``at`` is the share of the rows before it.
    """

    table: str
    kind: str
    at: float
    name: str
    value: Any


CHANGES = st.builds(
    Change,
    table=st.sampled_from(["items", "sets", "queries"]),
    kind=st.sampled_from(["value", "value", "value", "no field", "repeat", "cut bytes", "other bytes"]),
    at=st.floats(0, 1, exclude_max=True),
    name=st.sampled_from(
        ["item_id", "text", "attributes", "embedding", "set_id", "title", "description", "item_ids", "split", "task"]
    ),
    value=ODD_VALUES,
)


def good_tables(size: int, seed: int) -> dict[str, list[Row]]:
    """Items, sets and a log that ingest accepts."""
    draw = random.Random(seed)

    def words() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(1, 3))) + f" {draw.randrange(9)}"

    ids = [f"i{number}" for number in range(draw.randint(1, size))]
    items: list[Row] = [{"item_id": key, "text": words(), "attributes": {"category": words()}} for key in ids]
    sets: list[Row] = [
        {"set_id": number, "title": words(), "item_ids": draw.sample(ids, min(len(ids), draw.randint(1, 6)))}
        for number in range(size)
    ]
    queries: list[Row] = [{"text": words(), "set_ids": [draw.randrange(size)]} for _ in range(1 + size // 4)]
    return {"items": items, "sets": sets, "queries": queries}


def apply(change: Change, rows: list[Row]) -> None:
    at = int(change.at * len(rows))
    if change.kind == "value":
        rows[at] = rows[at] | {change.name: change.value}
    elif change.kind == "no field":
        rows[at] = {name: value for name, value in rows[at].items() if name != change.name}
    elif change.kind == "repeat":
        rows.append(rows[at])


def write(path: Path, rows: list[Row], form: str) -> Path:
    """Write the rows. Rows that the form cannot hold, such as columns of several types, become JSON lines."""
    try:
        return FORMS[form](path, rows)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        plain = json.loads(json.dumps(rows, default=str))
        return FORMS["jsonl"](path.with_name(f"{path.name}_lines"), plain)


def damage(change: Change, path: Path) -> None:
    """Cut the first file of a path off, or overwrite a few of its bytes."""
    folder, pattern = (path, "part*") if path.is_dir() else (path.parent, path.name)
    file = min(folder.glob(pattern))
    content = file.read_bytes()
    at = int(change.at * len(content))
    file.write_bytes(content[:at] + (b"" if change.kind == "cut bytes" else b"\xff\x00}" + content[at + 3 :]))


def check_artifacts(workspace: Workspace) -> tuple[int, int]:
    """The numbers of items and sets, after checks of what every later stage relies on."""
    workspace.artifact("catalogue")
    items, sets, queries = load_items(workspace), load_sets(workspace), load_queries(workspace)
    known, set_ids = {item.item_id for item in items}, {row.set_id for row in sets}
    assert (len(known), len(set_ids)) == (len(items), len(sets))
    assert len({query.query_id for query in queries}) == len(queries)
    assert not any(id_fault(key) for key in known | set_ids)
    assert all(item.text.strip() for item in items)
    assert all(query.text.strip() for query in queries)
    assert all(set(row.item_ids) <= known for row in sets)
    assert all(set(query.item_ids) <= (known if query.task == "wscr" else set_ids) for query in queries)
    assert not any(query.item_ids for query in queries if query.task == "oar" and query.split == "test")
    assert all(relevant <= set_ids for relevant in load_relevance(workspace).values())
    json.dumps([item.attributes for item in items], allow_nan=False).encode()
    return len(items), len(sets)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    size=SIZES,
    seed=st.integers(0, 2**32),
    forms=st.fixed_dictionaries({name: st.sampled_from(sorted(FORMS)) for name in ("items", "sets", "queries")}),
    has_log=st.booleans(),
    has_sets=st.booleans(),
    staple_share=st.sampled_from([0.03, 1.0]),
    changes=st.lists(CHANGES, max_size=2),
)
def test_ingest_makes_artifacts_or_names_the_fault(
    size: int,
    seed: int,
    forms: dict[str, str],
    has_log: bool,
    has_sets: bool,
    staple_share: float,
    changes: list[Change],
) -> None:
    tables = good_tables(size, seed)
    num_items = len(tables["items"])
    with tempfile.TemporaryDirectory() as name:
        folder, paths = Path(name).resolve() / "input", {}
        folder.mkdir()
        for table, rows in tables.items():
            mine = [change for change in changes if change.table == table]
            for change in mine:
                apply(change, rows)
            paths[table] = write(folder / table, rows, forms[table])
            for change in mine:
                if change.kind.endswith("bytes"):
                    damage(change, paths[table])
        config = SetsConfig(
            items=paths["items"],
            sets=paths["sets"] if has_sets else None,
            queries=paths["queries"] if has_log and has_sets else None,
            staple_share=staple_share,
        )
        workspace = Workspace(Path(name) / "workspace")
        fault: DataError | None = None
        try:
            run(config, workspace, seed=0)
        except DataError as error:
            fault = error
        if fault is None:
            found = check_artifacts(workspace)
            assert changes or found == (num_items, size if has_sets else num_items)
        else:
            assert changes, f"a good catalogue is refused: {fault}"
            assert fault.where.startswith(str(folder))
            assert all((fault.got, fault.expected, fault.fix))
            str(fault).encode()
            assert not (workspace.root / "catalogue").exists()
