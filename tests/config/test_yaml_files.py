"""A YAML file that extends another: what is merged, what replaces, and which file a fault is in."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from r4t_ray.config import PerTask, Settings, load_settings
from r4t_ray.errors import ConfigError


class Oven(Settings):
    degrees: int = Field(180, ge=0)
    minutes: int = 30


class Kitchen(Settings):
    name: str = "none"
    oven: Oven = Oven()
    second: PerTask[Oven | None] = PerTask[Oven | None](oar=Oven(minutes=5), wscr=None)
    tools: tuple[str, ...] = ()


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(files))}.yaml"


def test_mappings_merge_and_lists_replace(tmp_path: Path) -> None:
    base = "name: base\noven: {degrees: 200, minutes: 10}\ntools: [spoon, fork]\n"
    path = write(tmp_path, child="extends: base.yaml\noven: {minutes: 20}\ntools: [knife]\n", base=base)
    assert load_settings(Kitchen, path) == Kitchen(name="base", oven=Oven(degrees=200, minutes=20), tools=("knife",))


def test_a_chain_is_read_relative_to_each_file(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "middle.yaml").write_text("extends: ../root.yaml\noven: {minutes: 1}\n")
    path = write(tmp_path, child="extends: deep/middle.yaml\nname: c\n", root="name: r\noven: {degrees: 9}\n")
    assert load_settings(Kitchen, path) == Kitchen(name="c", oven=Oven(degrees=9, minutes=1))


def test_null_resets_to_the_default_of_the_class(tmp_path: Path) -> None:
    base = "name: b\noven: {degrees: 1, minutes: 2}\nsecond: {oar: {degrees: 3}, wscr: {degrees: 4}}\n"
    child = "extends: base.yaml\nname:\noven: {minutes: null}\nsecond: {wscr: null}\n"
    kitchen = load_settings(Kitchen, write(tmp_path, child=child, base=base))
    assert (kitchen.name, kitchen.oven) == ("none", Oven(degrees=1))
    assert kitchen.second == PerTask[Oven | None](oar=Oven(degrees=3, minutes=5), wscr=None)


@pytest.mark.parametrize(
    ("child", "base"), [("extends: base.yaml", "extends: child.yaml"), ("extends: child.yaml", "")]
)
def test_a_cycle_names_its_files(tmp_path: Path, child: str, base: str) -> None:
    with pytest.raises(ConfigError, match=r"child\.yaml.* -> .*child\.yaml"):
        load_settings(Kitchen, write(tmp_path, child=child, base=base or "{}"))


def test_a_base_that_is_missing_is_named_with_the_file_that_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"child\.yaml: extends.*absent\.yaml"):
        load_settings(Kitchen, write(tmp_path, child="extends: absent.yaml"))


def test_extends_is_one_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"child\.yaml: extends.*\['a\.yaml'\]"):
        load_settings(Kitchen, write(tmp_path, child="extends: [a.yaml]"))


def test_a_fault_in_the_base_names_the_base(tmp_path: Path) -> None:
    path = write(tmp_path, child="extends: base.yaml\noven: {degrees: -1}\n", base="oven: {degres: 3}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(Kitchen, path)
    assert f"(got 3) in {tmp_path / 'base.yaml'}" in caught.value.got
    assert "oven.degrees: Input should be greater than or equal to 0 (got -1)" in caught.value.got
    assert "(got -1) in" not in caught.value.got
    assert caught.value.where == str(path)
