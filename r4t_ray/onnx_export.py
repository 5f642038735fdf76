"""Writes a torch module as an ONNX file, a protocol buffer that every runtime reads as data, and opens such a file.

torch.export traces the module, but its ``.pt2`` format is not written, because a ``.pt2`` file can run code:
``torch.export.load`` unpickles parts of it and evaluates its expressions as Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r4t_ray.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

RUNTIME = "onnxruntime"
EXPORTERS = ("onnx", "onnxscript", RUNTIME)
"""An export is compared with torch, so it needs the runtime too."""


def missing_exporters() -> list[str]:
    """The packages of ``EXPORTERS`` that are not installed."""
    return [name for name in EXPORTERS if find_spec(name) is None]


def has_runtime() -> bool:
    """Whether the package that runs ONNX files is installed."""
    return find_spec(RUNTIME) is not None


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
    for function in (program.model.graph, *program.model.functions.values()):
        for node in function.all_nodes():
            for described in (node, *node.outputs):
                described.metadata_props.clear()  # paths and lines of this machine's files
    program.save(path)


def open_session(path: Path, threads: int) -> Any:
    """An ``onnxruntime.InferenceSession`` on the CPU, whose threads sleep while they wait.

    Raises:
        RuntimeError: The file is no ONNX model. The caller checks its sha256 before.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
