"""Transforms of the denoiser that a solver calls: guidance first, then steering around it, then what is allowed."""

from __future__ import annotations

from r4t_ray.diffusion.transforms.allowed import Allowed
from r4t_ray.diffusion.transforms.guidance import Guided
from r4t_ray.diffusion.transforms.steering import Perturbed, Steered, Steering

__all__ = ["Allowed", "Guided", "Perturbed", "Steered", "Steering"]
