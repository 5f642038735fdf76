"""Settings: the base class, classes that several sections share, and reading of YAML files."""

from r4t_ray.config.operational import Operational
from r4t_ray.config.parsing import parse_settings
from r4t_ray.config.references import ModelReference
from r4t_ray.config.settings import Settings, recorded_settings
from r4t_ray.config.shapes import CopyResources, PerTask, Resources, SharingWorkers, on_all_cpus
from r4t_ray.config.yaml_files import load_settings, read_yaml

__all__ = [
    "CopyResources",
    "ModelReference",
    "Operational",
    "PerTask",
    "Resources",
    "Settings",
    "SharingWorkers",
    "load_settings",
    "on_all_cpus",
    "parse_settings",
    "read_yaml",
    "recorded_settings",
]
