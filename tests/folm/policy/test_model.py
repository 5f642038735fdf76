"""One engine for several models: starts, weight loads, and the record of the loaded weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from r4t_ray.folm import SharedEngine


class Model:
    def __init__(self, folder: Path) -> None:
        self.folder, self.swaps = folder, []

    def load_weights(self, folder: Path) -> None:
        if folder.name == "broken":
            raise OSError(folder)
        self.swaps.append(folder)


@pytest.fixture
def started() -> list[Any]:
    return []


@pytest.fixture
def engine(started: list[Any]) -> SharedEngine:
    def load(folder: Path) -> Any:
        started.append(Model(folder))
        return started[-1]

    return SharedEngine(load)


def test_the_engine_starts_once_and_loads_weights_only_when_they_change(
    engine: SharedEngine, started: list[Any]
) -> None:
    first = engine.at(Path("oar/warm_start"))
    assert engine.at(Path("oar/warm_start")) is first
    assert engine.at(Path("oar/model")) is first
    assert engine.at(Path("wscr/model")) is first
    assert engine.at(Path("wscr/model")) is first
    assert [model.folder for model in started] == [Path("oar/warm_start")]
    assert started[0].swaps == [Path("oar/model"), Path("wscr/model")]
    assert engine.weights == Path("wscr/model")


def test_after_a_failed_load_the_next_model_is_loaded_again(engine: SharedEngine, started: list[Any]) -> None:
    engine.at(Path("a"))
    with pytest.raises(OSError, match="broken"):
        engine.at(Path("broken"))
    assert engine.weights is None
    engine.at(Path("a"))
    assert started[0].swaps == [Path("a")]
    assert engine.weights == Path("a")
