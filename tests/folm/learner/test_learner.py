"""What the learner refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from r4t_ray.errors import ConfigError, EngineError, read_error, write_error
from r4t_ray.folm.learner.learner import Learner
from r4t_ray.folm.policy.engines.interface import Completion
from r4t_ray.folm.rollout.worker import Rollout
from r4t_ray.folm.settings import SoftGRPOConfig


def rollout(text: str, parsed: float, weights: str = "weights/step-00000000") -> Rollout:
    return Rollout("q", "oar", (1,), Completion(text, (1,), (-1.0,)), 0.0, {"parsed": parsed}, weights)


def unpublished(trainer: Any) -> Path:
    raise AssertionError("nothing is published here")


def test_steps_on_end_without_a_form_end_the_run_and_show_the_last_output(tmp_path: Path) -> None:
    learner = Learner(SoftGRPOConfig(max_unparsed_steps=3), tmp_path, [], unpublished, [], 1, 0, 60.0)
    bad, good = rollout("and another thing", 0.0), rollout('<queries>["a"]</queries>', 1.0)
    for batch in ([bad], [bad], [bad, good], [bad], [bad]):
        learner._check_form(batch)
    with pytest.raises(ConfigError, match=r"in 3 steps, the last: 'and another thing'.*warm-start"):
        learner._check_form([bad])


def test_samples_of_other_weights_than_those_published_are_refused(tmp_path: Path) -> None:
    learner = Learner(SoftGRPOConfig(num_iterations=2), tmp_path, [], unpublished, [], 1, 0, 60.0)
    learner.trainer = SimpleNamespace(state=SimpleNamespace(global_step=8))
    learner._check_weights([rollout("", 1.0, "weights/step-00000006")], asked_at=3)
    with pytest.raises(EngineError, match=r"rollout at step 4: got samples of the weights \['step-00000006'\]"):
        learner._check_weights([rollout("", 1.0, f"weights/step-0000000{n}") for n in (8, 6)], asked_at=4)


def test_an_error_kept_for_the_next_start_is_the_same(tmp_path: Path) -> None:
    write_error(EngineError("here", "this", "that", "mend it"), tmp_path / "fault")
    error = read_error(tmp_path / "fault")
    assert type(error) is EngineError
    assert str(error) == "here: got this; expected that; mend it"
