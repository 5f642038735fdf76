"""Settings in words: the commented YAML and the rows of the reference."""

from __future__ import annotations

from typing import Annotated, Literal

import yaml
from pydantic import Field

from r4t_ray.config import PerTask, Resources, Settings
from r4t_ray.config.describe import describe
from r4t_ray.config.fields import all_fields
from r4t_ray.config.reference import Row, markdown_table, setting_rows


class Sugar(Settings):
    type: Literal["sugar"] = Field("sugar", description="Sweet.")
    grams: float = Field(5.0, description="How much.")
    brown: bool = Field(False, description="Brown sugar.")


class Salt(Settings):
    type: Literal["salt"]
    grams: float = Field(5.0, description="How much.")


class Recipe(Settings):
    name: str = Field(description="Its name.")
    taste: Annotated[Sugar | Salt, Field(discriminator="type")] = Field(Sugar(brown=True), description="The taste.")
    counts: PerTask[int] = Field(PerTask(oar=2, wscr=3), description="How many.")
    extra: PerTask[Sugar | None] = Field(PerTask[Sugar | None](oar=Sugar(grams=1), wscr=None), description="More.")
    rates: dict[str, float] = Field(default_factory=dict, description="Rates.")
    named: dict[str, Sugar] = Field(default_factory=dict, description="By name.")
    ovens: Resources = Field(Resources(num=2), description="Ovens.")


def test_the_yaml_reads_back_as_the_same_settings() -> None:
    recipe = Recipe.model_validate(
        {"name": "a: b", "taste": {"type": "salt"}, "rates": {r"^a\.b": 0.1}, "extra": {"oar": None, "wscr": {}}}
    )
    assert Recipe.model_validate(yaml.safe_load(describe(recipe, Recipe(name="x")))) == recipe


def test_descriptions_stand_above_and_defaults_beside() -> None:
    recipe = Recipe.model_validate({"name": "pie", "counts": {"wscr": 9}, "taste": {"grams": 7}})
    lines = describe(recipe, Recipe(name="pie")).splitlines()
    assert lines[:3] == ["# Its name.", "name: pie", "# The taste."]
    assert lines[3:7] == ["taste:", "  # Sweet.", "  type: sugar", "  # How much."]
    assert lines[7:10] == ["  grams: 7.0  # default: 5.0", "  # Brown sugar.", "  brown: true"]
    start = lines.index("# How many.")
    assert lines[start : start + 4] == ["# How many.", "counts:", "  oar: 2", "  wscr: 9  # default: 3"]


def test_a_section_that_is_switched_on_or_off_is_marked() -> None:
    recipe = Recipe.model_validate({"name": "pie", "extra": {"oar": None, "wscr": {"grams": 2}}})
    lines = describe(recipe, Recipe(name="pie")).splitlines()
    assert "  oar: null  # default: a section of settings" in lines
    assert "  wscr:  # default: null" in lines


def test_every_setting_is_one_row_with_the_default_of_its_field() -> None:
    ovens = [row._replace(key=f"ovens.{row.key}") for row in setting_rows(Resources)]
    ovens = [row._replace(default="2") if row.key == "ovens.num" else row for row in ovens]
    assert list(setting_rows(Recipe)) == [
        Row("name", "required", "Its name."),
        Row("taste", "", "The taste."),
        Row("taste.grams", "5.0", "How much."),
        Row("taste(sugar).type", "sugar", "Sweet."),
        Row("taste(sugar).brown", "true", "Brown sugar."),
        Row("taste(salt).type", "salt", ""),
        Row("counts.{oar,wscr}", "oar 2, wscr 3", "How many."),
        Row("extra", "wscr null", "More."),
        Row("extra.{oar,wscr}.type", "sugar", "Sweet."),
        Row("extra.{oar,wscr}.grams", "1.0", "How much."),
        Row("extra.{oar,wscr}.brown", "false", "Brown sugar."),
        Row("rates", "{}", "Rates."),
        Row("named", "{}", "By name."),
        Row("named.NAME.type", "sugar", "Sweet."),
        Row("named.NAME.grams", "5.0", "How much."),
        Row("named.NAME.brown", "false", "Brown sugar."),
        Row("ovens", "", "Ovens."),
        *ovens,
    ]


def test_the_walk_reaches_every_class() -> None:
    assert {field.owner for field in all_fields(Recipe)} == {Recipe, Sugar, Salt, Resources}


def test_a_table_keeps_bars_inside_their_cell() -> None:
    assert markdown_table([Row("a", "x|y", "One | two.")]).splitlines()[2] == r"| `a` | `x\|y` | One \| two. |"
