"""A model whose answers cannot be parsed, and an error that is kept for the next start."""

from __future__ import annotations

from pathlib import Path

import pytest

from r4t_ray.errors import ConfigError, EngineError
from r4t_ray.files import read_error, write_error
from r4t_ray.folm.learner.rollout_bridge import FormCheck
from r4t_ray.folm.policy.engines.interface import Completion
from r4t_ray.folm.rollout.request import Rollout


def rollout(text: str, parsed: float) -> Rollout:
    return Rollout(
        query_id="q",
        task="oar",
        prompt_ids=(1,),
        completion=Completion(text=text, token_ids=(1,), logprobs=(-1.0,)),
        reward=0.0,
        components={"parsed": parsed},
        weights="weights/step-00000000",
    )


def test_consecutive_steps_without_a_parsed_answer_end_the_run_and_show_the_last_output() -> None:
    form = FormCheck(3)
    bad, good = rollout("and another thing", 0.0), rollout('<queries>["a"]</queries>', 1.0)
    for batch in ([bad], [bad], [bad, good], [bad], [bad]):
        form.check(batch)
    with pytest.raises(ConfigError, match=r"in 3 steps, the last: 'and another thing'.*warm-start"):
        form.check([bad])


def test_an_error_kept_for_the_next_start_is_the_same(tmp_path: Path) -> None:
    write_error(EngineError("here", "this", "that", "mend it"), tmp_path / "fault")
    error = read_error(tmp_path / "fault")
    assert type(error) is EngineError
    assert str(error) == "here: got this; expected that; mend it"
