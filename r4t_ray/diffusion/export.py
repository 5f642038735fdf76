"""Export of a retriever to ONNX, for any batch size: one Euler step, or all of ``one_step`` or ``top_anchors``.

An exported program needs neither r4t_ray nor torch. To sample with the Euler step, start from ``sigmas_S[0]`` times
standard normal noise, run the step for each pair of neighbours in ``schedule.sampling_sigmas``, and normalise the rows.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from r4t_ray.diffusion.denoiser import QueryDenoiser
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.samplers import one_step, top_anchors
from r4t_ray.diffusion.samplers.euler import euler_step
from r4t_ray.diffusion.transforms import Guided
from r4t_ray.errors import ConfigError
from r4t_ray.onnx_export import write_onnx


class EulerStep(nn.Module):
    """One step of ``samplers.euler`` with the guided denoiser; the guidance is part of the program."""

    def __init__(self, retriever: DiffusionRetriever, guidance: float) -> None:
        super().__init__()
        self.retriever, self.guidance = retriever, guidance

    def forward(self, z_BLD: Tensor, sigma: Tensor, sigma_next: Tensor, z_q_BD: Tensor) -> Tensor:
        """Take the rows from ``sigma`` to ``sigma_next``, two float32 scalars; returns (B, L, D)."""
        queries = QueryDenoiser(self.retriever, z_q_BD)
        denoise = Guided(queries, self.guidance) if self.guidance else queries
        return euler_step(denoise, z_BLD, sigma, sigma_next)


class OneStep(nn.Module):
    """``samplers.one_step`` as a module."""

    def __init__(self, retriever: DiffusionRetriever) -> None:
        super().__init__()
        self.retriever = retriever
        self.register_buffer("sigmas_S", torch.tensor([retriever.noise.sigma_max, 0.0]), persistent=False)

    def forward(self, noise_BLD: Tensor, z_q_BD: Tensor) -> Tensor:
        """Unit rows z_BLD from standard normal noise."""
        start_BLD = self.retriever.noise.sigma_max * noise_BLD
        return one_step(QueryDenoiser(self.retriever, z_q_BD), start_BLD, self.sigmas_S)


class TopAnchors(nn.Module):
    """``samplers.top_anchors`` as a module, with the retriever's L rows and diversity."""

    def __init__(self, retriever: DiffusionRetriever) -> None:
        super().__init__()
        self.retriever = retriever
        self.register_buffer("sigmas_S", torch.tensor([retriever.noise.sigma_max, 0.0]), persistent=False)

    def forward(self, z_q_BD: Tensor) -> Tensor:
        """Unit rows z_BLD, the first pick first."""
        start_BLD = z_q_BD[:, None].expand(-1, self.retriever.network.config.num_rows, -1)  # only its shape is used
        sampler, denoise = self.retriever.sampler, QueryDenoiser(self.retriever, z_q_BD)
        diversity, candidates = sampler.diversity or 0.0, sampler.candidates
        return top_anchors(denoise, start_BLD, self.sigmas_S, diversity=diversity, candidates=candidates)


def export_step(retriever: DiffusionRetriever, path: Path, guidance: float | None = None) -> None:
    """Write the Euler step as ONNX: inputs z_BLD, sigma, sigma_next and z_q_BD, output z_next_BLD, all float32.

    Args:
        retriever: On the CPU. It is in evaluation mode afterwards.
        path: The file to write.
        guidance: Guidance strength g. Default: the setting in ``retriever.sampler``.

    Raises:
        ConfigError: The exporter is not installed.
    """
    step = EulerStep(retriever, retriever.sampler.guidance if guidance is None else guidance)
    z_BLD, z_q_BD = _examples(retriever)
    inputs = {"z_BLD": z_BLD, "sigma": torch.tensor(2.0), "sigma_next": torch.tensor(1.0), "z_q_BD": z_q_BD}
    write_onnx(step, inputs, "z_next_BLD", path)


def export_one_step(student: DiffusionRetriever, path: Path) -> None:
    """Write ``one_step`` as ONNX: inputs noise_BLD (standard normal) and z_q_BD, output z_BLD, all float32.

    Args:
        student: A student made by ``training.student.distill``, on the CPU. It is in evaluation mode afterwards.
        path: The file to write.

    Raises:
        ConfigError: The exporter is not installed, or the retriever is not a student.
    """
    if student.sampler.solver != "one_step":
        raise ConfigError(
            "export of one step", f"a retriever with solver {student.sampler.solver}", "a one-step student",
            "load the folder `student` inside the retriever's folder, or export a step or `top_anchors`",
        )  # fmt: skip
    noise_BLD, z_q_BD = _examples(student)
    write_onnx(OneStep(student), {"noise_BLD": noise_BLD, "z_q_BD": z_q_BD}, "z_BLD", path)


def export_top_anchors(retriever: DiffusionRetriever, path: Path) -> None:
    """Write ``top_anchors`` as ONNX: input z_q_BD, output z_BLD, float32.

    Args:
        retriever: On the CPU. It is in evaluation mode afterwards.
        path: The file to write.

    Raises:
        ConfigError: The exporter is not installed, or the network has fewer anchors than rows.
    """
    write_onnx(TopAnchors(retriever), {"z_q_BD": _examples(retriever)[1]}, "z_BLD", path)


def _examples(retriever: DiffusionRetriever) -> tuple[Tensor, Tensor]:
    """Example rows (2, L, D) and query embeddings (2, D) for tracing."""
    shape = retriever.network.config
    return torch.ones(2, shape.num_rows, shape.dim), torch.ones(2, shape.dim)
