"""``top_anchors`` of a retriever as an ONNX program, which is faster than torch on a CPU.

For one query and 3,129 anchors it takes a fifth of the time, for 100,000 anchors two fifths. The solver is a hundred
small operations, and torch starts each of them from Python. The program holds the sampler's settings and gives L rows.
Steered and filtered queries, and those that want more rows, are solved by torch.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from r4t_ray.diffusion.export import export_top_anchors
from r4t_ray.diffusion.folders import PROGRAM
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.onnx_export import missing_exporters, open_session
from r4t_ray.types import Array

MOST_DIFFERENCE = 1e-4
"""Largest difference of a number of a row to the number of the solver in torch."""
MOST_BYTES = 2**30
"""Largest retriever that is exported. torch writes what is larger into two files."""


class AnchorProgram:
    """The program in ONNX Runtime.

    Args:
        path: A file that ``write_program`` wrote. The caller checks its sha256 before.
        threads: Threads of a pass.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._session = open_session(path, threads)
        self.num_rows = int(self._session.get_outputs()[0].shape[1])

    def __call__(self, z_q_BD: Array) -> Array:
        """Unit rows z_BLD of unit query embeddings, float32, the first pick first."""
        rows_BLD: Array = self._session.run(None, {"z_q_BD": z_q_BD})[0]
        return rows_BLD


def write_program(folder: Path, z_q_BD: Tensor) -> str | None:
    """Write PROGRAM into the folder of a retriever, and check that it gives the rows that torch gives.

    Args:
        folder: What ``DiffusionRetriever.save_pretrained`` wrote; its solver is ``top_anchors``. It has no
            PROGRAM if there is a reason.
        z_q_BD: Unit embeddings of some queries.

    Returns:
        None, or the reason why torch has to serve the retriever.
    """
    path = folder / PROGRAM
    path.unlink(missing_ok=True)  # a run that was killed may have left a part of it
    missing = missing_exporters()
    if missing:
        return f"the packages {' and '.join(missing)} are not installed"
    retriever = DiffusionRetriever.from_pretrained(folder).eval()
    num_bytes = sum(tensor.nbytes for tensor in retriever.state_dict().values())
    if num_bytes > MOST_BYTES:
        return f"its {num_bytes:,} bytes do not fit one file of ONNX"
    try:
        export_top_anchors(retriever, path)
        rows_BLD = AnchorProgram(path, torch.get_num_threads())(z_q_BD.numpy())
    except Exception as error:  # whatever other versions of the packages make of the solver: torch serves it then
        path.unlink(missing_ok=True)
        lines = str(error).strip().splitlines() or [""]
        return f"ONNX cannot hold it ({type(error).__name__}: {lines[0]})"
    difference = float((torch.from_numpy(rows_BLD) - retriever.generate(z_q_BD)).abs().max())
    if not difference <= MOST_DIFFERENCE:
        path.unlink()
        return f"its rows in ONNX Runtime differ by {difference:.1g} from the rows in torch"
    return None
