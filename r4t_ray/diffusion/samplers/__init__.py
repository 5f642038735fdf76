"""Solvers of the reverse process, one flat function a file.

A sampler takes ``(denoise, noise_BLD, sigmas_S, draw)``: ``denoise(z_BLD, sigma_B)`` estimates the clean rows,
``noise_BLD`` is already scaled by sigmas_S[0], ``sigmas_S`` decreases and ends at 0 (or at a level above 0 to stop
early), ``draw()`` gives more noise of the same shape, not scaled. Steps are the intervals of ``sigmas_S``.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from r4t_ray.diffusion.samplers.dpmpp_2m import dpmpp_2m
from r4t_ray.diffusion.samplers.euler import euler
from r4t_ray.diffusion.samplers.heun import heun
from r4t_ray.diffusion.samplers.sde import sde

Denoise = Callable[[Tensor, Tensor], Tensor]
Sampler = Callable[[Denoise, Tensor, Tensor, Callable[[], Tensor]], Tensor]

SAMPLERS: dict[str, Sampler] = {"euler": euler, "heun": heun, "dpmpp_2m": dpmpp_2m, "sde": sde}

__all__ = ["SAMPLERS", "Denoise", "Sampler", "dpmpp_2m", "euler", "heun", "sde"]
