"""The map from settings of version 0.1 to today's."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from r4t_ray.config import Settings
from r4t_ray.config.renamed import RENAMED
from r4t_ray.experiment import Experiment


def classes_in(annotation: Any) -> list[type[Settings]]:
    """The settings classes in a type: of ``A | Annotated[B, ...] | None`` A and B."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [found for part in get_args(annotation) for found in classes_in(part)]


def is_setting(key: str) -> bool:
    kinds: list[type[Settings]] = [Experiment]
    for name in key.split("."):
        fields = [kind.model_fields[name] for kind in kinds if name in kind.model_fields]
        if not fields:
            return False
        kinds = [found for field in fields for found in classes_in(field.annotation)]
    return True


@pytest.mark.parametrize("key", sorted(set(RENAMED.values())))
def test_a_new_name_is_a_setting(key: str) -> None:
    assert is_setting(key)


@pytest.mark.parametrize("key", sorted(RENAMED))
def test_an_old_name_is_none(key: str) -> None:
    assert not is_setting(key)


def test_a_wrong_name_is_found_at_any_depth() -> None:
    assert is_setting("folm.grpo.wscr.num_steps")
    wrong = ("flom", "folm.gpro", "folm.grpo.wsrc", "folm.grpo.wscr.steps", "seed.value")
    assert not any(map(is_setting, wrong))
