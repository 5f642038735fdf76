"""The contract of every dataset: unique ids, disjoint splits, references without staples, no partial artifacts."""

from __future__ import annotations

import gzip
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import (
    CatalogueConfig,
    CookbookConfig,
    PolyvoreConfig,
    RecipesConfig,
    SetsConfig,
    load_items,
    load_queries,
    load_sets,
    run,
)
from r4t_ray.catalogue.catalogue import Catalogue, sample_sets
from r4t_ray.catalogue.datasets.cookbook import MEMBER, WHEEL_FILE, WHEEL_SHA256, read_dishes
from r4t_ray.catalogue.queries.made import oar_queries, oar_themes, set_split
from r4t_ray.catalogue.queries.splits import normalise_title
from r4t_ray.errors import DataError

WORDS = ("Lentil", "Tomato", "Lemon", "Winter", "Red", "Roast", "Quick", "Grand", "Garden", "Island")
KINDS = ("soup", "salad", "stew", "pie")
NUM_SETS = len(WORDS) * len(KINDS)


def titles() -> list[str]:
    """Forty titles. The last ten are other spellings of the first ten."""
    made = [f"{word} {kind}" for kind in KINDS for word in WORDS]
    return made[:30] + [f"{title.upper()} II" for title in made[:10]]


def members(number: int) -> list[str]:
    """Items of a set. The first is a staple, which every set contains; few sets share the others."""
    return ["salt", *(f"fruit {chr(97 + (number + step) % 23) * 3}" for step in (1, 2, 3, 5))]


def make_sets(folder: Path) -> SetsConfig:
    names = sorted({name for number in range(NUM_SETS) for name in members(number)})
    items = [{"item_id": name, "text": name, "attributes": {"category": "Goods", "price": 2}} for name in names]
    sets = [{"set_id": f"s{n}", "title": title, "item_ids": members(n)} for n, title in enumerate(titles())]
    for name, rows in (("items", items), ("sets", sets)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return SetsConfig(items=folder / "items.jsonl", sets=folder / "sets.jsonl")


def outfits() -> list[dict[str, Any]]:
    def entry(name: str) -> dict[str, Any]:
        number = int.from_bytes(name.encode(), "big")
        return {
            "index": 1,
            "name": name,
            "price": 3.0,
            "likes": 1,
            "image": f"http://x/y?a=1&tid={number}",
            "categoryid": 3,
        }

    nameless = {"index": 9, "name": " ", "price": -1, "likes": 0, "image": "http://x/y?tid=77", "categoryid": 3}
    return [
        {"name": title, "desc": "", "set_id": str(n), "items": [*map(entry, members(n)), nameless]}
        for n, title in enumerate(titles())
    ]


def make_polyvore(folder: Path) -> PolyvoreConfig:
    (folder / "valid_no_dup.json").write_text(json.dumps(outfits()))
    (folder / "category_id.txt").write_text("2 Clothing\n3 Day Dresses\n")
    return PolyvoreConfig(path=folder)


class ToyCookbook(CookbookConfig):
    """The cookbook's reader without the check of the sha256, so that it reads the wheel of the test."""

    def read(self) -> Catalogue:
        assert self.wheel is not None
        return read_dishes(self.wheel)


def make_cookbook(folder: Path) -> CookbookConfig:
    dishes = {
        f"Cookbook:{title}": {
            "title": title,
            "category": "Soup recipes" if n % 2 else None,
            "ingredients": [f"{n + 1} cups {name}, chopped" for name in members(n)],
        }
        for n, title in enumerate(titles())
    }
    with zipfile.ZipFile(folder / WHEEL_FILE, "w") as archive:
        archive.writestr(MEMBER, json.dumps(dishes))
    return ToyCookbook(wheel=folder / WHEEL_FILE)


def make_recipes(folder: Path) -> RecipesConfig:
    """Besides the forty sets: a copy of one, a recipe whose only ingredient has no name, and one without a title."""
    recipes = [
        {
            "title": f" {title}",
            "ingredients": [f"{n + 1} cups {name}, chopped" for name in members(n)],
            "tags": ["Soup", "Quick & Easy", "Soup"] if n % 2 else [],
        }
        for n, title in enumerate(titles())
    ]
    recipes += [
        {**recipes[0], "title": recipes[0]["title"].upper()},
        {**recipes[0], "ingredients": ["2 cups"]},
        {**recipes[0], "title": " "},
    ]
    with gzip.open(folder / "recipes.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(recipe) + "\n" for recipe in recipes))
    return RecipesConfig(path=folder / "recipes.jsonl.gz")


Maker = Callable[[Path], Any]
MAKERS: dict[str, Maker] = {
    "cookbook": make_cookbook,
    "polyvore": make_polyvore,
    "recipes": make_recipes,
    "sets": make_sets,
}


@pytest.fixture(params=sorted(MAKERS))
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    folder = tmp_path / "source"
    folder.mkdir()
    return MAKERS[request.param](folder).model_copy(update={"staple_share": 0.5})


@pytest.fixture
def workspace(config: Any, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "workspace")
    run(config, workspace, seed=0)
    return workspace


def test_every_registered_dataset_is_tested() -> None:
    registered = {kind.model_fields["type"].default for kind in get_args(get_args(CatalogueConfig)[0])}
    assert registered == set(MAKERS)


def test_ids_are_unique_and_sets_name_items(workspace: Workspace) -> None:
    items, sets, queries = load_items(workspace), load_sets(workspace), load_queries(workspace)
    assert len({item.item_id for item in items}) == len(items) == 24
    assert len({row.set_id for row in sets}) == len(sets) == NUM_SETS
    assert len({query.query_id for query in queries}) == len(queries)
    known = {item.item_id for item in items}
    assert all(set(row.item_ids) <= known and len(row.item_ids) == len(set(row.item_ids)) for row in sets)
    assert all(item.text.strip() for item in items)
    assert all(query.text.strip() for query in queries)


def test_splits_are_disjoint_by_title(workspace: Workspace) -> None:
    splits: dict[str, set[str]] = {}
    for query in load_queries(workspace, "wscr"):
        splits.setdefault(normalise_title(query.text), set()).add(query.split)
    assert len(splits) == 30
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "val", "test"}


def test_references_leave_out_only_the_staple(workspace: Workspace) -> None:
    salt = next(item.item_id for item in load_items(workspace) if item.text == "salt")
    sets = {row.set_id: row for row in load_sets(workspace)}
    queries = load_queries(workspace, "wscr")
    assert queries
    for query in queries:
        expected = [item_id for item_id in sets[query.query_id.removeprefix("wscr:")].item_ids if item_id != salt]
        assert list(query.item_ids) == expected
        assert len(expected) >= 3
    made = {query.query_id.removeprefix("wscr:") for query in queries}
    assert all(len(set(sets[left].item_ids) - {salt}) < 3 for left in set(sets) - made)


def test_themes_have_no_reference(workspace: Workspace) -> None:
    themes = load_queries(workspace, "oar")
    assert "soup" in {theme.text for theme in themes}
    assert all(theme.item_ids == () for theme in themes)
    assert load_queries(workspace, "oar", "train") == [theme for theme in themes if theme.split == "train"]


def test_files_have_the_stated_columns(workspace: Workspace) -> None:
    columns = {path.stem: pq.read_schema(path).names for path in workspace.artifact("catalogue").path.glob("*.parquet")}
    assert columns == {
        "items": ["item_id", "text", "attributes"],
        "sets": ["set_id", "title", "description", "item_ids"],
        "queries": ["query_id", "task", "text", "item_ids", "split"],
        "relevance": ["core", "query_ids", "set_ids"],
    }


def test_a_second_run_is_skipped_and_a_fresh_one_is_equal(config: Any, workspace: Workspace, tmp_path: Path) -> None:
    manifest = workspace.root / "catalogue" / "manifest.json"
    before = manifest.stat().st_mtime_ns
    first = run(config, workspace, seed=0).manifest
    assert manifest.stat().st_mtime_ns == before
    assert run(config, Workspace(tmp_path / "other"), seed=0).manifest.files == first.files


def test_changed_input_is_read_again(tmp_path: Path) -> None:
    config, workspace = make_sets(tmp_path), Workspace(tmp_path / "workspace")
    run(config, workspace, seed=0)
    with config.items.open("a") as stream:
        stream.write('{"item_id": "new", "text": "a new thing"}\n')
    run(config, workspace, seed=0)
    assert len(load_items(workspace)) == 25


def published_polyvore(place: Path) -> PolyvoreConfig:
    """A folder with twenty training, five validation and fifteen test outfits."""
    rows, folder = outfits(), place / "polyvore"
    parts = {"train_no_dup.json": rows[:20], "valid_no_dup.json": rows[20:25], "test_no_dup.json": rows[25:]}
    folder.mkdir()
    for name, part in parts.items():
        (folder / name).write_text(json.dumps(part))
    return PolyvoreConfig(path=folder)


def test_fewer_sets_are_a_subset_and_keep_only_their_items(config: Any, tmp_path: Path) -> None:
    kept = []
    for count in (6, 12, NUM_SETS + 1, None):
        workspace = Workspace(tmp_path / str(count))
        run(config.model_copy(update={"max_sets": count}), workspace, seed=0)
        sets, items = load_sets(workspace), load_items(workspace)
        assert len(sets) == min(count or NUM_SETS, NUM_SETS)
        assert {item.item_id for item in items} == {item_id for row in sets for item_id in row.item_ids}
        ids = [row.set_id for row in sets]
        assert {query.query_id.removeprefix("wscr:") for query in load_queries(workspace, "wscr")} <= set(ids)
        whole = config.read()
        alone = Catalogue(items=whole.items, sets=tuple(row for row in whole.sets if row.set_id in ids))
        assert load_queries(workspace, "oar") == oar_queries(oar_themes(alone, config.theme_templates))
        kept.append(ids)
    assert set(kept[0]) < set(kept[1]) < set(kept[2])
    assert kept[2] == kept[3]
    assert kept[1] == [set_id for set_id in kept[3] if set_id in kept[1]]
    assert kept[1] != kept[3][:12]


def test_fewer_sets_cover_all_published_splits(tmp_path: Path) -> None:
    config = published_polyvore(tmp_path)
    kept = sample_sets(config.read(), 24)
    assert {row.published_split for row in kept.sets} == {"train", "val", "test"}


def test_published_polyvore_splits_are_kept_in_folder_and_archive(tmp_path: Path) -> None:
    folder = published_polyvore(tmp_path).path
    with tarfile.open(tmp_path / "polyvore.tar.gz", "w:gz") as archive:
        archive.add(folder, "label")
    read = [PolyvoreConfig(path=path).read() for path in (folder, tmp_path / "polyvore.tar.gz")]
    assert read[0] == read[1]
    assert [set_split(row) for row in read[0].sets] == ["train"] * 20 + ["val"] * 5 + ["test"] * 15


def test_polyvore_items_have_attributes_and_names(tmp_path: Path) -> None:
    catalogue = make_polyvore(tmp_path).read()
    assert "77" not in {item.item_id for item in catalogue.items}
    assert catalogue.items[0].attributes == {"category_id": 3, "category": "Day Dresses", "price": 3.0}
    assert catalogue.categories == ("Day Dresses",) * NUM_SETS


def test_one_polyvore_file_is_split_by_title_and_finds_its_categories(tmp_path: Path) -> None:
    folder = published_polyvore(tmp_path).path
    (folder / "category_id.txt").write_text("3 Day Dresses\n")
    config = PolyvoreConfig(path=folder / "valid_no_dup.json")
    catalogue = config.read()
    assert [row.set_id for row in catalogue.sets] == [outfit["set_id"] for outfit in outfits()[20:25]]
    assert {row.published_split for row in catalogue.sets} == {None}
    assert set(catalogue.categories) == {"Day Dresses"}
    assert set(config.sources()) == {"valid_no_dup.json", "category_id.txt"}


def test_tags_are_the_categories_and_the_description_of_a_recipe(tmp_path: Path) -> None:
    sets = make_recipes(tmp_path).read().sets
    assert [row.set_id for row in sets] == [str(n + 1) for n in range(NUM_SETS)]
    assert (sets[0].categories, sets[0].description) == ((), "")
    assert (sets[1].categories, sets[1].description) == (("Soup", "Quick & Easy"), "Soup, Quick & Easy")


BAD_RECIPES = (
    "{",
    "[]",
    '{"title": "x"}',
    '{"title": true, "ingredients": []}',
    '{"ingredients": []}',
    '{"title": "x", "ingredients": "salt"}',
    '{"title": "x", "ingredients": [1]}',
)


@pytest.mark.parametrize("line", BAD_RECIPES)
def test_recipe_faults_name_the_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "recipes.jsonl").write_text('{"title": "x", "ingredients": ["salt"]}\n' + line)
    with pytest.raises(DataError, match=r"recipes\.jsonl:2"):
        RecipesConfig(path=tmp_path / "recipes.jsonl").read()


def test_unreadable_recipes_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "recipes.jsonl.gz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match="unreadable file"):
        RecipesConfig(path=tmp_path / "recipes.jsonl.gz").read()
    with pytest.raises(DataError, match="no such file"):
        RecipesConfig(path=tmp_path / "absent.jsonl").sources()


SURROGATE = json.dumps([{"name": "caf\ud83d", "set_id": 1, "items": []}]).encode()


@pytest.mark.parametrize("content", [b"[", b"{}", b'[{"name": "x"}]', b"[3]", b"[]", b"[" * 100_000, SURROGATE])
def test_polyvore_faults_name_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train_no_dup.json").write_bytes(content)
    with pytest.raises(DataError, match=str(tmp_path)):
        PolyvoreConfig(path=tmp_path).read()


def test_polyvore_without_files_names_the_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_no_dup\.json"):
        PolyvoreConfig(path=tmp_path).read()
    with pytest.raises(DataError, match="no such file or folder"):
        PolyvoreConfig(path=tmp_path / "absent").read()
    (tmp_path / "polyvore.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match="unreadable archive"):
        PolyvoreConfig(path=tmp_path / "polyvore.tar.gz").read()


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    wheel = make_cookbook(tmp_path).wheel
    with pytest.raises(DataError, match=WHEEL_SHA256[:12]):
        run(CookbookConfig(wheel=wheel), Workspace(tmp_path / "workspace"), seed=0)
    assert not (tmp_path / "workspace" / "catalogue").exists()
