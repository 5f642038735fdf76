"""Settings: frozen, no unknown key, and errors that name the key, the file and the next step."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from r4t_ray.config import Settings, load_settings, parse_settings, read_yaml
from r4t_ray.errors import ConfigError


class Oven(Settings):
    degrees: int = Field(180, ge=0)


class Kitchen(Settings):
    name: str
    oven: Oven = Oven()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "kitchen.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_nested_settings(tmp_path: Path) -> None:
    kitchen = load_settings(Kitchen, write(tmp_path, "name: crêperie\noven: {degrees: 220}\n"))
    assert kitchen == Kitchen(name="crêperie", oven=Oven(degrees=220))


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Oven().degrees = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\noven: {degree: 220}", r"oven\.degree: no such setting; did you mean degrees\? \(got 220\)"),
        ("name: a\nooven: {}", r"ooven: no such setting; did you mean oven"),
        ("oven: {}", r"name: Field required"),
        ("name: a\noven: {degrees: -1}", r"oven\.degrees: Input should be greater than or equal to 0 \(got -1\)"),
        ("name: a\noven: {degrees: hot}", r"oven\.degrees: .*\(got 'hot'\)"),
        ("name: [unclosed", "unreadable YAML"),
        ("- a\n- b", "a list"),
        ("", "a NoneType"),
    ],
)
def test_fault_names_the_file_and_the_key(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        load_settings(Kitchen, write(tmp_path, text))
    assert "kitchen.yaml" in caught.value.where
    assert caught.value.fix


def test_a_name_is_suggested_only_where_it_is_a_setting() -> None:
    from r4t_ray.experiment import Experiment

    wrong = {"catalogue": {"type": "cookbook", "items": "x"}, "encoder": {"batchsize": 3}}
    with pytest.raises(ConfigError, match=r"catalogue\.items: no such setting \(.*batch_size\? \(got 3\)"):
        parse_settings(Experiment, wrong, "here")


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"name: .*; .*oven\.degrees: ") as caught:
        parse_settings(Kitchen, {"oven": {"degrees": "x"}}, "here")
    assert caught.value.where == "here"


def test_long_value_is_shortened() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(Kitchen, {"name": "a", "oven": {"degrees": "9" * 10 + "x" * 100_000}}, "here")
    assert len(str(caught.value)) < 500


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: got no such file"):
        read_yaml(tmp_path / "absent.yaml")


def test_yaml_cannot_build_objects(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unreadable YAML"):
        read_yaml(write(tmp_path, "name: !!python/object/apply:os.getcwd []"))


def test_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kitchen.yaml"
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(ConfigError, match="unreadable YAML"):
        read_yaml(path)
