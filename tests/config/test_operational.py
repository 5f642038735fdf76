"""The settings that are no part of a stage's key, all of them, and what is found in given settings."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from r4t_ray.config import Operational, Settings
from r4t_ray.config.fields import fields_of
from r4t_ray.config.operational import description_of, is_operational, operational_keys
from r4t_ray.experiment import Experiment
from r4t_ray.stages import STAGES

CHANGE_NO_RESULT = {
    "encoder.actors.cpus",
    "encoder.actors.num",
    "encoder.actors.threads",
    "encoder.api_key_env",
    "encoder.batch_size",
    "encoder.check_vectors",
    "encoder.max_retries",
    "encoder.timeout_s",
    "encoder.url",
    "folm.added_rewards.{oar,wscr}[].batch_size",
    "folm.added_rewards.{oar,wscr}[].api_key_env",
    "folm.added_rewards.{oar,wscr}[].max_concurrency",
    "folm.added_rewards.{oar,wscr}[].max_retries",
    "folm.added_rewards.{oar,wscr}[].timeout_s",
    "folm.engine.max_num_seqs",
    "folm.engine.weight_transfer",
    "folm.grpo.{oar,wscr}.checkpoint_every",
    "folm.grpo.{oar,wscr}.max_logp_gap",
    "folm.grpo.{oar,wscr}.max_unparsed_steps",
    "folm.grpo.{oar,wscr}.micro_batch_size",
    "folm.learner.cpus",
    "folm.learner.threads",
    "folm.max_failures",
    "folm.reward.oar.batch_size",
    "folm.rollout.cpus",
    "folm.rollout.num",
    "folm.rollout.threads",
    "folm.rollout_timeout_s",
    "folm.warm_start.training.logging_steps",
    "pairs.actors.cpus",
    "pairs.actors.num",
    "pairs.actors.threads",
    "pairs.recompose.engine.max_num_seqs",
    "pairs.recompose.engine.weight_transfer",
    "pairs.writers.cpus",
    "pairs.writers.num",
    "pairs.writers.threads",
    "diffusion.checkpoint_every",
    "diffusion.compile",
    "diffusion.log_every",
    "diffusion.max_failures",
    "diffusion.validate_every",
    "diffusion.workers.cpus",
    "diffusion.workers.threads",
}
"""Every setting of a stage that is not compared. A new one is added here by a person who thought about its effect."""


def settings_below(kind: type[Settings], above: str) -> Iterator[tuple[str, bool]]:
    for field in fields_of(kind):
        yield f"{above}.{field.name}", is_operational(field.info)
        for part in field.parts:
            yield from settings_below(part.kind, f"{above}.{field.name}{part.suffix}")


def test_all_settings_that_change_no_result() -> None:
    sections = {stage.section for stage in STAGES}
    parts = [(field.name, part.kind) for field in fields_of(Experiment) for part in field.parts]
    settings = [each for name, kind in parts if name in sections for each in settings_below(kind, name)]
    assert {name for name, marked in settings if marked} == CHANGE_NO_RESULT


class Oven(Settings):
    degrees: int = 200
    timeout_s: Operational[float] = Field(30.0, gt=0, description="Seconds to wait.")


class Bakery(Settings):
    oven: Oven = Oven()
    ovens: tuple[Oven, ...] = ()
    named: dict[str, Oven] = Field(default_factory=dict)


def test_marked_settings_are_found_at_any_depth() -> None:
    bakery = Bakery(ovens=(Oven(), Oven()), named={"old": Oven()})
    assert set(operational_keys(bakery)) == {
        ("oven", "timeout_s"),
        ("ovens", 0, "timeout_s"),
        ("ovens", 1, "timeout_s"),
        ("named", "old", "timeout_s"),
    }


def test_a_mark_keeps_the_bounds_and_is_in_the_description() -> None:
    assert Oven.model_validate({"timeout_s": None}).timeout_s == 30.0
    info = Oven.model_fields["timeout_s"]
    assert [bound.gt for bound in info.metadata if hasattr(bound, "gt")] == [0]
    assert description_of(info) == "Seconds to wait. Changes no result."
    assert description_of(Oven.model_fields["degrees"]) == ""
