"""Vectors that expansions move: numbers by hand, and the stages ingest and embed on the toy catalogue."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from r4t_ray import catalogue, encoders
from r4t_ray.artifacts import Workspace
from r4t_ray.encoders import load_embeddings, load_encoder
from r4t_ray.encoders.expansions import expanded
from r4t_ray.errors import DataError
from tests.conftest import DIM, SEED, write_catalogue

X, Y = np.eye(2, dtype=np.float32)


def test_a_vector_moves_to_the_mean_of_its_expansions_by_the_weight() -> None:
    entries = [(["a", "b"], np.stack([X, X])), (["c"], Y[None])]
    wishes = [(["a", "a"], np.stack([Y, X])), (["a", "c"], np.stack([Y, X]))]  # one entry over two parts
    parts = list(expanded(entries, wishes, 3.0))
    assert [ids for ids, _ in parts] == [["a", "b"], ["c"]]
    # a: (1, 0) + 3 (1/3, 2/3) = (2, 2); c: (0, 1) + 3 (1, 0) = (3, 1)
    np.testing.assert_allclose(parts[0][1], [[0.5**0.5, 0.5**0.5], [1, 0]], atol=1e-6)
    np.testing.assert_allclose(parts[1][1], [[3 / 10**0.5, 1 / 10**0.5]], atol=1e-6)
    np.testing.assert_array_equal(entries[0][1], np.stack([X, X]))  # the input stays


def test_weight_zero_and_no_expansions_change_nothing_and_a_lost_expansion_is_noticed() -> None:
    entries = [(["a", "b"], np.stack([X, Y]))]
    for wishes, weight in (([(["b"], X[None])], 0.0), ([], 1.0)):
        ((_, rows),) = expanded(entries, wishes, weight)
        np.testing.assert_array_equal(rows, np.stack([X, Y]))
    with pytest.raises(AssertionError, match="out of order"):
        list(expanded(entries, [(["b", "a"], np.stack([X, X]))], 1.0))


def settings(folder: Path, rows: list[dict[str, Any]], **changes: Any) -> Any:
    given = write_catalogue(folder)
    (folder / "expansions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    chosen = given | {"expansions": str(folder / "expansions.jsonl")} | changes
    return TypeAdapter(catalogue.CatalogueConfig).validate_python(chosen)


def test_an_entry_is_found_by_what_people_want_it_for(
    ray_session: str, indexed_workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wish = "after a day in the snow"
    ids, plain_MD = load_embeddings(indexed_workspace, "sets")
    far = ids[int(np.argmin(plain_MD @ load_encoder(indexed_workspace.root / "encoder" / "model").encode([wish])[0]))]
    rows = [{"set_id": far, "text": wish}, {"set_id": far, "text": f" {wish} "}, {"set_id": "gone", "text": "x"}]
    workspace = Workspace(tmp_path / "workspace")
    with caplog.at_level(logging.INFO):
        catalogue.run(settings(tmp_path, rows), workspace, SEED)
    assert "1 of 48 entries have expansions, 1.0 on average" in caplog.text
    assert "the catalogue lacks them: 1 entries" in caplog.text
    encoders.run(encoders.EncoderConfig(dim=DIM, runtime="torch", expansion_weight=5.0), workspace, SEED)
    assert load_embeddings(workspace, "sets")[0] == ids
    moved_MD = load_embeddings(workspace, "sets")[1]
    z_D = load_encoder(workspace.root / "encoder" / "model").encode([wish])[0]
    assert ids[int(np.argmax(moved_MD @ z_D))] == far
    np.testing.assert_allclose(np.linalg.norm(moved_MD, axis=1), 1, atol=1e-5)
    assert not (workspace.root / "encoder" / "native").exists()
    # Items keep their vectors, up to the projection, which is fitted on the moved ones.
    items, same = (load_embeddings(each, "items")[1] for each in (workspace, indexed_workspace))
    assert np.abs(items @ items.T - same @ same.T).mean() < 0.02


def test_items_without_sets_take_expansions_by_item_id(ray_session: str, tmp_path: Path) -> None:
    given = settings(tmp_path, [{"item_id": "i-salt", "text": "melts the ice on the steps"}])
    alone = given.model_copy(update={"sets": None})
    workspace = Workspace(tmp_path / "workspace")
    catalogue.run(alone, workspace, SEED)
    encoders.run(encoders.EncoderConfig(dim=DIM, runtime="torch"), workspace, SEED)
    (ids, sets_MD), (_, items_MD) = (load_embeddings(workspace, kind) for kind in ("sets", "items"))
    changed = [name for name, row, own in zip(ids, sets_MD, items_MD, strict=True) if not np.array_equal(row, own)]
    assert changed == ["i-salt"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"set_id": "gone", "text": "x"}], "1 entries, of which the catalogue has none"),
        ([{"set_id": "s-1", "text": " "}], "expansions.jsonl:1: got an empty text"),
        ([{"text": "x"}], "no field 'set_id'"),
        ([], "no expansions|no record|empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_leaves_no_stage(
    tmp_path: Path, rows: list[dict[str, Any]], says: str
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    with pytest.raises(DataError, match=says):
        catalogue.run(settings(tmp_path, rows), workspace, SEED)
    assert not (workspace.root / "catalogue").exists()


def test_a_part_of_the_sets_takes_its_own_expansions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ids = [row["set_id"] for row in map(json.loads, _lines(tmp_path))]
    with caplog.at_level(logging.INFO):
        for most in (1, 47):
            chosen = settings(tmp_path, [{"set_id": name, "text": "x"} for name in ids], max_sets=most)
            catalogue.run(chosen, Workspace(tmp_path / str(most)), SEED)
    assert "1 of 1 entries have expansions" in caplog.text
    assert "47 of 47 entries have expansions" in caplog.text
    assert "lacks" not in caplog.text


def _lines(folder: Path) -> list[str]:
    write_catalogue(folder)
    return (folder / "sets.jsonl").read_text("utf-8").splitlines()


def test_a_changed_file_makes_the_stage_run_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    first = json.loads(_lines(tmp_path)[0])["set_id"]
    chosen = settings(tmp_path, [{"set_id": first, "text": "x"}])
    for text in ("one", "two"):
        (tmp_path / "expansions.jsonl").write_text(json.dumps({"set_id": first, "text": text}), encoding="utf-8")
        assert catalogue.run(chosen, workspace, SEED).is_new
        assert not catalogue.run(chosen, workspace, SEED).is_new
