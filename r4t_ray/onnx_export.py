"""Writes a torch module as an ONNX file, which is a protocol buffer: every runtime reads it as data.

torch.export traces the module, but its ``.pt2`` format is not written, because a ``.pt2`` file can run code:
``torch.export.load`` unpickles parts of it and evaluates its expressions as Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from r4t_ray.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

EXPORTERS = ("onnx", "onnxscript")


def missing_exporters() -> list[str]:
    """The packages of ``EXPORTERS`` that are not installed."""
    return [name for name in EXPORTERS if find_spec(name) is None]


def write_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    output: str,
    path: Path,
    num_free: int = 1,
) -> None:
    """Trace ``module`` and write it to one file. The module is in evaluation mode afterwards.

    Args:
        module: Takes the inputs by name and returns one tensor.
        inputs: Examples. A free axis must be 2 or longer in its example.
        output: Name of the output.
        path: The file to write.
        num_free: The first so many axes of each input that has axes may have any length.

    Raises:
        ConfigError: The exporter is not installed.
    """
    import torch

    missing = missing_exporters()
    if missing:
        raise ConfigError(
            "export to ONNX", f"no package {' and '.join(missing)}", " and ".join(EXPORTERS),
            'pip install "r4t-ray[onnx]"',
        )  # fmt: skip
    free = dict.fromkeys(range(num_free), torch.export.Dim.DYNAMIC)
    shapes = {name: free if example.ndim else None for name, example in inputs.items()}
    module.eval()
    # Run once before the export, because the exporter would wrap a ConfigError in an error of its own type.
    with torch.no_grad():
        module(**inputs)
        traced = torch.export.export(module, (), dict(inputs), dynamic_shapes=shapes)
        names = {"input_names": list(inputs), "output_names": [output]}
        program = torch.onnx.export(traced, **names, dynamo=True, verbose=False)
    program.save(path)
