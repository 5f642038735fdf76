"""Export of a sentence-transformers model to ONNX, once, in the embed stage.

The ONNX backend of sentence-transformers needs optimum-onnx, which refuses transformers 5. So the modules of the model
are traced here, with the scaling to unit length behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from r4t_ray.encoders.onnx_model import MASK, MODEL_FILE, TOKENIZER_FILE, TOKENS, VECTORS, OnnxModel
from r4t_ray.encoders.sentence_transformer import SentenceEncoder
from r4t_ray.onnx_export import missing_exporters, write_onnx
from r4t_ray.types import TextKind

MOST_DIFFERENCE = 1e-4
"""Largest difference of a number of an exported unit vector to the number of the model in torch."""
SAMPLES = ("A CAPITAL É", "हिन्दी रसोई 한국 чай", " edges ", "word " * 1000)
"""Texts beside those of the catalogue that both must embed alike: capitals, other scripts, spaces, one that is cut."""
EXAMPLE_SHAPE = (2, 6)
INT8_FILE = "int8.onnx"


class UnitVectors(nn.Module):
    """The modules of a sentence-transformers model, and unit rows behind them."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.modules_in_order = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids and mask, (B, T) each -> unit rows (B, D)."""
        features: dict[str, Any] = {TOKENS: input_ids, MASK: attention_mask}
        for module in self.modules_in_order:
            features = module(features)
        return nn.functional.normalize(features[VECTORS].float(), dim=1)


def export_encoder(encoder: SentenceEncoder, folder: Path, texts: Sequence[str], to_int8: bool) -> str | None:
    """Write the model and its tokenizer, and check that both embed texts as the model in torch does.

    Args:
        encoder: The model, on the CPU.
        folder: Gets MODEL_FILE and TOKENIZER_FILE, or stays as it is if the model cannot be exported.
        texts: Some texts of the catalogue.
        to_int8: Whether the weights become 8-bit numbers. The model is checked before that.

    Returns:
        None, or the reason why the model cannot be exported.
    """
    missing = missing_exporters()
    if missing:
        return f"the packages {' and '.join(missing)} are not installed"
    reason = _export(encoder, folder) or _difference(encoder, folder, texts)
    if reason:
        for name in (MODEL_FILE, TOKENIZER_FILE):
            (folder / name).unlink(missing_ok=True)
    elif to_int8:
        _to_int8(folder)
    return reason


def _export(encoder: SentenceEncoder, folder: Path) -> str | None:
    model = encoder.model
    fast = getattr(model.tokenizer, "backend_tokenizer", None)
    if fast is None:
        return "its tokenizer is not a fast tokenizer"
    tokenizer = Tokenizer.from_str(fast.to_str())
    tokenizer.enable_truncation(model.max_seq_length)
    pad = {"pad_id": model.tokenizer.pad_token_id, "pad_token": model.tokenizer.pad_token}
    tokenizer.enable_padding(direction=model.tokenizer.padding_side, **pad)
    tokenizer.save(str(folder / TOKENIZER_FILE))
    # Two tensors: torch.export would take one tensor in two places for one input.
    inputs = {name: torch.ones(EXAMPLE_SHAPE, dtype=torch.long) for name in (TOKENS, MASK)}
    try:
        write_onnx(UnitVectors(model), inputs, VECTORS, folder / MODEL_FILE, num_free=2)
    except Exception as error:  # whatever the code of a model makes of the exporter: torch serves it then
        lines = str(error).strip().splitlines() or [""]
        return f"torch.onnx cannot export it ({type(error).__name__}: {lines[0]})"
    return None


def _difference(encoder: SentenceEncoder, folder: Path, texts: Sequence[str]) -> str | None:
    exported = OnnxModel(folder, encoder.name, encoder.prompts, threads=torch.get_num_threads())
    kinds: tuple[TextKind, ...] = ("document", "query")
    # The samples go one by one: the texts of a batch are padded to the longest.
    parts = [*([sample] for sample in SAMPLES), texts]
    difference = max(
        float(np.abs(exported.encode(part, kind) - encoder.encode(part, kind)).max(initial=0.0))
        for part in parts
        for kind in kinds
    )
    if not difference <= MOST_DIFFERENCE:
        return f"its vectors in ONNX Runtime differ by {difference:.1g} from the vectors in torch"
    return None


def _to_int8(folder: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = folder / MODEL_FILE
    quantize_dynamic(path, folder / INT8_FILE, per_channel=True, weight_type=QuantType.QInt8)
    (folder / INT8_FILE).replace(path)
