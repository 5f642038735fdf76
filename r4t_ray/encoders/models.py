"""Model references in settings: a path, a hub id, or ``package:NAME/sub/dir`` for a folder in an installed package."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path

from r4t_ray.errors import ConfigError
from r4t_ray.files import sha256_file

PACKAGE_PREFIX = "package:"
HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
FINGERPRINTED = frozenset({".safetensors", ".bin", ".gguf", ".json", ".txt", ".model"})


def resolve_model(reference: str) -> str:
    """Resolve a reference to a path or a hub id, without network access and without an import.

    Args:
        reference: ``package:NAME/sub/dir``, a path that exists, or a hub id ("name" or "owner/name").

    Raises:
        ConfigError: The package or the path is missing, or the reference has none of the three forms.
    """
    if reference.startswith(PACKAGE_PREFIX):
        return str(_inside_package(reference))
    path = Path(reference).expanduser()
    if reference and path.exists():
        return str(path.resolve())
    if not HUB_ID.fullmatch(reference):
        raise ConfigError(
            f"model '{reference}'",
            f"no such path, seen from {Path.cwd()}",
            "a path that exists, a hub id 'owner/name' or 'package:NAME/sub/dir'",
            "correct the model reference in the configuration",
        )
    return reference


def is_local(resolved: str) -> bool:
    """Whether a resolved reference is a local path. A local model needs no hub."""
    return Path(resolved).exists()


def model_fingerprint(resolved: str) -> str | None:
    """sha256 over the files of a local model (weights, settings, vocabulary), in hex; None for a hub id."""
    path = Path(resolved)
    if not path.exists():
        return None
    if path.is_file():
        return sha256_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix in FINGERPRINTED)
    lines = (f"{file.relative_to(path).as_posix()} {sha256_file(file)}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _inside_package(reference: str) -> Path:
    name, _, inside = reference.removeprefix(PACKAGE_PREFIX).partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    roots = list(spec.submodule_search_locations or []) if spec else []
    if not roots:
        raise ConfigError(
            f"model '{reference}'",
            f"no installed package '{name}'",
            "package:NAME/sub/dir with NAME importable here",
            "install the package (`pip install 'r4t-ray[demo]'` for the models of the demo)",
        )
    root = Path(roots[0]).resolve()
    path = (root / inside).resolve()
    if not path.exists() or not path.is_relative_to(root):
        raise ConfigError(
            f"model '{reference}'", f"no '{inside}' inside {root}", "a path inside the package", "correct the reference"
        )
    return path
