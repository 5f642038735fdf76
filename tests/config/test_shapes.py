"""Shared shapes: resources, a value for each task, and partial mappings that keep the defaults of their field."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field, ValidationError

from r4t_ray.config import PerTask, Resources, Settings, parse_settings
from r4t_ray.errors import ConfigError


class Rate(Settings):
    start: float = 0.1
    num_steps: int = 100


class Fixed(Settings):
    type: Literal["fixed"] = "fixed"
    degrees: int = 180


class Rising(Settings):
    type: Literal["rising"] = "rising"
    by: int = 5


class Bakery(Settings):
    rates: PerTask[Rate] = PerTask[Rate](oar=Rate(num_steps=40), wscr=Rate(start=0.3, num_steps=60))
    helper: PerTask[Rate | None] = PerTask[Rate | None](oar=Rate(start=0.5), wscr=None)
    apprentice: PerTask[Rate | None] = PerTask(oar=Rate(start=0.5), wscr=None)
    heat: Fixed | Rising = Field(Fixed(degrees=200), discriminator="type")
    ovens: Resources = Resources(num=2, cpus=0.5)
    prices: dict[str, float] = Field(default_factory=lambda: {"bread": 2.0})


@pytest.mark.parametrize(
    ("resources", "expected"),
    [({}, 1), ({"cpus": 1.5}, 2), ({"cpus": 0.0}, 1), ({"cpus": 3.0}, 3), ({"cpus": 1.0, "threads": 2}, 2)],
)
def test_threads_are_the_cpus_rounded_up_unless_they_are_set(resources: dict[str, float], expected: int) -> None:
    assert Resources.model_validate(resources).num_threads == expected


@pytest.mark.parametrize("fault", [{"num": 0}, {"cpus": -0.5}, {"gpus": -1.0}, {"threads": 0}])
def test_resources_out_of_range_are_refused(fault: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Resources.model_validate(fault)


def test_one_task_keeps_the_default_of_the_other_and_of_its_own_missing_keys() -> None:
    rates = Bakery.model_validate({"rates": {"wscr": {"num_steps": 5}}}).rates
    assert rates["oar"] == Rate(start=0.1, num_steps=40)
    assert rates["wscr"] == Rate(start=0.3, num_steps=5)


def test_partial_resources_keep_the_default_of_the_field() -> None:
    assert Bakery.model_validate({"ovens": {"gpus": 1}}).ovens == Resources(num=2, cpus=0.5, gpus=1)


def test_another_type_of_a_union_takes_nothing_from_the_default() -> None:
    assert Bakery.model_validate({"heat": {"type": "rising"}}).heat == Rising()
    assert Bakery.model_validate({"heat": {"type": "fixed"}}).heat == Fixed(degrees=200)


def test_a_mapping_that_is_no_section_replaces_the_default() -> None:
    assert Bakery.model_validate({"prices": {"cake": 3.0}}).prices == {"cake": 3.0}


def test_an_instance_is_taken_as_it_is() -> None:
    assert Bakery(ovens=Resources(gpus=1)).ovens == Resources(gpus=1)


def test_null_is_the_default_except_where_none_is_a_value() -> None:
    bakery = Bakery.model_validate({"rates": None, "ovens": {"num": None}, "helper": {"oar": None}})
    assert bakery.rates == Bakery().rates
    assert bakery.ovens == Bakery().ovens
    assert bakery.helper == PerTask[Rate | None](oar=None, wscr=None)
    apprentice = Bakery.model_validate({"apprentice": {"oar": None}}).apprentice
    assert apprentice.oar is None, "the default's class has no type parameter; the declared one has"


def test_null_of_one_task_is_the_default_of_the_field() -> None:
    bakery = Bakery.model_validate({"rates": {"oar": None, "wscr": {"start": 0.7}}})
    assert bakery.rates.oar == Bakery().rates.oar
    assert bakery.rates.wscr.start == 0.7


def test_settings_read_back_from_their_own_dump_are_equal() -> None:
    bakery = Bakery.model_validate({"helper": {"oar": None}, "rates": {"oar": {"start": 0.7}}})
    assert Bakery.model_validate(bakery.model_dump()) == bakery
    assert Bakery.model_validate_json(bakery.model_dump_json()) == bakery


def test_a_fault_below_a_task_names_the_whole_key() -> None:
    with pytest.raises(ConfigError, match=r"rates\.oar\.steps: no such setting"):
        parse_settings(Bakery, {"rates": {"oar": {"steps": 3}}}, "here")
