"""Transforms that change what a solver sees: guidance and steering, each of which can wrap the other's result."""

from __future__ import annotations

from r4t_ray.diffusion.transforms.guidance import Guided
from r4t_ray.diffusion.transforms.steering import Perturbed, Steered, Steering

__all__ = ["Guided", "Perturbed", "Steered", "Steering"]
