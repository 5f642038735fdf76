"""Model references resolve to paths or hub ids. Errors name the next step."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from r4t_ray.encoders.models import is_local, model_fingerprint, resolve_model
from r4t_ray.errors import ConfigError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with a model folder. Its import raises an error."""
    root = tmp_path / "toy_model_package"
    (root / "sub" / "dir").mkdir(parents=True)
    (root / "__init__.py").write_text("raise RuntimeError('imported')")
    (root / "sub" / "dir" / "config.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    return root


def test_package_reference_is_found_without_importing(package: Path) -> None:
    assert resolve_model("package:toy_model_package/sub/dir") == str(package / "sub" / "dir")
    assert "toy_model_package" not in sys.modules


@pytest.mark.parametrize(
    "reference",
    [
        "package:no_such_package_here/model",
        "package:toy_model_package/elsewhere",
        "package:toy_model_package/../x",
        "package:",
    ],
)
def test_bad_package_reference_is_refused(package: Path, reference: str) -> None:
    (package.parent / "x").mkdir()
    with pytest.raises(ConfigError, match="package"):
        resolve_model(reference)


def test_path_and_hub_id(tmp_path: Path) -> None:
    assert resolve_model(str(tmp_path)) == str(tmp_path.resolve())
    assert is_local(str(tmp_path))
    assert resolve_model("Qwen/Qwen3-4B-Instruct-2507") == "Qwen/Qwen3-4B-Instruct-2507"
    assert not is_local("Qwen/Qwen3-4B-Instruct-2507")


@pytest.mark.parametrize("reference", ["/no/such/folder", "./absent", "a/b/c", "", "~/absent-model"])
def test_a_missing_path_is_not_a_hub_id(reference: str) -> None:
    with pytest.raises(ConfigError, match="no such path"):
        resolve_model(reference)


def test_fingerprint_changes_with_any_model_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "README.md").write_text("card")
    first = model_fingerprint(str(tmp_path))
    (tmp_path / "README.md").write_text("another card")
    assert model_fingerprint(str(tmp_path)) == first
    (tmp_path / "model.safetensors").write_bytes(b"Weights")
    assert model_fingerprint(str(tmp_path)) != first
    assert model_fingerprint("owner/name") is None
