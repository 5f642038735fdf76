"""Files and folders are whole or absent, even if their writer fails or is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from r4t_ray.files import (
    finish_replacement,
    partial_folder,
    put_in_place,
    remove_leftovers,
    replaced_folder,
    whole_file,
    whole_folder,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    with whole_file(path) as partial:
        partial.write_text("new")
        assert not path.exists()
        assert partial.parent == tmp_path
    assert path.read_text() == "new"
    assert names(tmp_path) == ["rows.json"]


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    with whole_file(path) as first, whole_file(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # because its block ended last
    assert names(tmp_path) == ["rows.json"]


@pytest.mark.parametrize("has_written", [True, False])
def test_a_file_whose_writer_fails_stays_as_it_was(tmp_path: Path, has_written: bool) -> None:
    path = tmp_path / "rows.json"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as partial:
            if has_written:
                partial.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["rows.json"]


def test_an_existing_file_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    for text in ("first", "second"):
        with whole_file(path, keep_existing=True) as partial:
            partial.write_text(text)
    assert path.read_text() == "first"
    assert names(tmp_path) == ["rows.json"]


def test_a_folder_replaces_the_old_one_and_the_leftovers_of_a_killed_writer(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    partial_folder(path).mkdir()
    (partial_folder(path) / "half").touch()
    with whole_folder(path) as partial:
        assert names(partial) == []
        (partial / "new").touch()
        assert names(path) == ["old"]
    assert names(path) == ["new"]
    assert names(tmp_path) == ["model"]


def test_a_folder_whose_writer_fails_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()

    def fail() -> None:
        with whole_folder(path) as partial:
            (partial / "half").touch()
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert names(path) == []


@pytest.mark.parametrize("is_in_place", [True, False])
def test_a_replacement_that_was_cut_off_is_finished(tmp_path: Path, is_in_place: bool) -> None:
    path = tmp_path / "model"
    replaced_folder(path).mkdir()
    (replaced_folder(path) / "old").touch()
    if is_in_place:
        partial_folder(path).mkdir()
        put_in_place(partial_folder(path), path)
    finish_replacement(path)
    assert names(tmp_path) == ["model"]
    assert names(path) == ([] if is_in_place else ["old"])


def test_a_folder_replaces_another_after_a_kill_left_the_replaced_one(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    replaced_folder(path).mkdir()
    (replaced_folder(path) / "older").touch()
    with whole_folder(path) as partial:
        (partial / "new").touch()
    assert names(tmp_path) == ["model"]
    assert names(path) == ["new"]


def test_leftovers_are_temporary_files_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "oar").mkdir()
    kept = [tmp_path / "oar" / "a.parquet", tmp_path / "partial"]
    for file in (*kept, tmp_path / "oar" / "b.parquet.0a1b2c3d.partial", tmp_path / "manifest.json.partial"):
        file.touch()
    remove_leftovers(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
