"""Transforms of the denoiser that a solver calls: guidance first, then steering around it."""

from __future__ import annotations

from r4t_ray.diffusion.transforms.guidance import Guided
from r4t_ray.diffusion.transforms.steering import Perturbed, Steered, Steering

__all__ = ["Guided", "Perturbed", "Steered", "Steering"]
