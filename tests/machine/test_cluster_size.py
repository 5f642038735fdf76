"""What stages reserve against what Ray has: numbers of the message, computed by hand."""

from __future__ import annotations

from r4t_ray.experiment import Experiment
from r4t_ray.machine.cluster_size import Need, check_size
from r4t_ray.stages import STAGES
from r4t_ray.start_up import NEEDS

ACTORS = Need(stage="embed", setting="encoder.actors", num=3, cpus=0.5)
READING = Need(stage="embed", setting="one reading task", num=1, cpus=1)


def test_a_stage_that_fits_has_no_fault() -> None:
    assert list(check_size([ACTORS, READING], [{"CPU": 2.5}])) == []
    assert list(check_size([ACTORS, READING], [{"CPU": 1.5}, {"CPU": 1.0}])) == []


def test_a_stage_that_asks_for_more_than_there_is() -> None:
    (fault,) = check_size([ACTORS, READING], [{"CPU": 2.0}])
    assert fault.required
    assert fault.value == "2.5 (encoder.actors 3 x 0.5, one reading task 1 x 1), and Ray has 2, at most 2 on a node"
    assert fault.fix.startswith("lower encoder.actors.{num,cpus}, or give Ray more CPUs")


def test_a_copy_that_fits_no_node() -> None:
    (fault,) = check_size([Need(stage="folm", setting="folm.learner", num=1, cpus=3)], [{"CPU": 2.0}, {"CPU": 2.0}])
    assert "Ray has 4, at most 2 on a node" in fault.value


def test_a_command_without_settings_names_its_options() -> None:
    (fault,) = check_size([Need(stage="retrieve", setting="--actors", num=3, cpus=1)], [{"CPU": 2.0}])
    assert fault.value == "3 (--actors 3 x 1), and Ray has 2, at most 2 on a node"
    assert fault.fix.startswith("lower --actors or --cpus, or give Ray more CPUs")


def test_stages_are_counted_alone_and_gpus_too() -> None:
    other = Need(stage="train-folm", setting="folm.rollout", num=2, cpus=1, gpus=1)
    (fault,) = check_size([ACTORS, READING, other], [{"CPU": 2.5, "GPU": 1.0}])
    assert fault.name == "train-folm: GPUs that it reserves"
    assert "folm.rollout.{num,gpus}" in fault.fix


def test_without_a_language_model_nothing_is_reserved_for_one() -> None:
    data = {"catalogue": {"type": "cookbook"}, "preset": "fast", "pairs": {"actors": {"gpus": 1}}}
    experiment = Experiment.model_validate(data)
    assert NEEDS["folm"](experiment) == []
    assert [need.setting for need in NEEDS["pairs"](experiment)] == ["pairs.writers"]


def test_the_defaults_fit_two_cpus() -> None:
    experiment = Experiment.model_validate({"catalogue": {"type": "cookbook"}})
    needs = [need for need_of in NEEDS.values() for need in need_of(experiment)]
    assert list(check_size(needs, [{"CPU": 2.0}])) == []
    assert set(NEEDS) <= {stage.section for stage in STAGES if stage.on_ray}
