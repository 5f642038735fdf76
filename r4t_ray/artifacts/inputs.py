"""The inputs that a stage is made from: settings, seed, and the contents of its parents. They decide if it is current.

Settings that change no result are recorded but not compared. So an artifact, and an unfinished run, stay current when
a timeout or a number of workers changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from r4t_ray.config import Settings
from r4t_ray.config.operational import Keys, operational_keys

SCHEMA = 1
ABSENT = object()
"""Stands for the value of a setting that one side does not have."""


@dataclass(frozen=True, kw_only=True)
class StageInputs:
    """Inputs of one stage.

    Attributes:
        config: All settings, as JSON.
        seed: The experiment's seed.
        parents: Section of a parent -> fingerprint of its contents.
        operational: Paths of the settings that are not compared.
    """

    config: dict[str, Any]
    seed: int
    parents: dict[str, str]
    operational: frozenset[Keys] = frozenset()

    @classmethod
    def of(cls, settings: Settings, seed: int, parents: dict[str, str]) -> Self:
        """The inputs of a stage that is to be made with these settings."""
        config = json.loads(settings.model_dump_json())
        return cls(config=config, seed=seed, parents=parents, operational=frozenset(operational_keys(settings)))

    @property
    def key(self) -> str:
        """sha256 of everything that is compared."""
        compared = _without(self.config, self.operational)
        return hash_json({"schema": SCHEMA, "config": compared, "seed": self.seed, "parents": self.parents})

    @property
    def key_of_all(self) -> str:
        """The key as r4t_ray up to 0.2.0.dev0 made it: settings that change no result counted too."""
        return hash_json({"schema": SCHEMA, "config": self.config, "seed": self.seed, "parents": self.parents})

    def recorded(self) -> dict[str, Any]:
        """What a manifest records of them."""
        return {"config": self.config, "seed": self.seed, "parents": self.parents}

    def changes_from(self, recorded: Mapping[str, Any]) -> list[str]:
        """What differs from the inputs that ``recorded`` gave; empty if a result made from those is still current.

        Args:
            recorded: The keys config, seed and parents of a manifest or of ``recorded()``.

        Returns:
            One text for each difference, such as ``k is 12, was 10``.
        """
        old = _leaves(_without(recorded["config"], self.operational))
        new = _leaves(_without(self.config, self.operational))
        texts = [
            f"{name} is {_shown(new.get(name, ABSENT))}, was {_shown(old.get(name, ABSENT))}"
            for name in (*new, *(old.keys() - new.keys()))
            if old.get(name, ABSENT) != new.get(name, ABSENT)
        ]
        if recorded["seed"] != self.seed:
            texts.append(f"the seed is {self.seed}, was {recorded['seed']}")
        fingerprints: Mapping[str, str] = recorded["parents"]
        parents = [*self.parents, *(fingerprints.keys() - self.parents.keys())]
        texts += [
            f"'{name}' has other contents" for name in parents if fingerprints.get(name) != self.parents.get(name)
        ]
        return texts


def hash_json(data: Any) -> str:
    """sha256 of data as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _without(config: Any, dropped: frozenset[Keys], above: Keys = ()) -> Any:
    """``config`` without the settings at the ``dropped`` paths."""
    if isinstance(config, dict):
        kept = {key: value for key, value in config.items() if (*above, key) not in dropped}
        return {key: _without(value, dropped, (*above, key)) for key, value in kept.items()}
    if isinstance(config, list):
        return [_without(value, dropped, (*above, place)) for place, value in enumerate(config)]
    return config


def _leaves(config: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_walk(config, ""))


def _walk(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inside in value.items():
            yield from _walk(inside, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _shown(value: Any) -> str:
    text = "absent" if value is ABSENT else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
