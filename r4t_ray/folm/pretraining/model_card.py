"""The model card of the base model: script, data, licence, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from r4t_ray.files import sha256_file
from r4t_ray.folm.policy.precision import computes_in_bf16
from r4t_ray.folm.pretraining.pretrain import PretrainConfig

CARD = """---
license: apache-2.0
library_name: transformers
---
# r4t_ray cookbook base model

A small causal language model that writes {k} search queries for one query. It is the starting point of Soft-GRPO
(arXiv 2603.06397) and has no other use: it knows dish titles and ingredient names in English.

| | |
|---|---|
| script | `make base-model RECIPES=recipes.jsonl.gz` (`r4t_ray/folm/pretraining/`) |
| data | 73,322 recipes (titles, ingredient lines) of github.com/dpapathanasiou/recipes, MIT |
| data file | sha256 `{data_sha256}` |
| left out | recipes and themes that hash to a held-out split (20%); ingredients in over {staple_share:.0%} of recipes |
| shape | Llama; {layers} layers, width {hidden}, {heads} heads, own byte-level BPE of {vocab} tokens, tied embeddings |
| answers | names voted by the {num_neighbours} recipes of the nearest titles, softmax temperature {vote_temperature} |
| titles | of the recipes, and {num_recombined:,} recombined from them, except titles of a held-out split |
| training | {epochs} epochs, AdamW, peak learning rate {learning_rate}, batch {batch}, {precision}, seed {seed} |
| final loss | {loss:.3f} nats a token on training text, mean over the last tenth of the steps |
| weights | float16 safetensors, sha256 `{weights_sha256}` |

Prompt: `<wscr>` or `<oar>` and the lower-case query. Answer: `<queries>["...", "..."]</queries>`.
"""


def write_model_card(folder: Path, config: PretrainConfig, recipes: Path, losses: Sequence[float]) -> None:
    """Write README.md beside the weights. ``losses`` are the logged losses, in order."""
    text = CARD.format(
        k=config.k,
        data_sha256=sha256_file(recipes),
        staple_share=config.staple_share,
        layers=config.num_layers,
        hidden=config.hidden_size,
        heads=config.num_heads,
        vocab=config.vocab_size,
        num_neighbours=config.num_neighbours,
        vote_temperature=config.vote_temperature,
        num_recombined=config.num_recombined,
        epochs=config.epochs,
        learning_rate=config.training.learning_rate,
        batch=config.training.batch_size,
        precision="bfloat16 autocast" if computes_in_bf16(config.training.bf16) else "float32",
        seed=config.seed,
        loss=fmean(losses[-max(1, len(losses) // 10) :]),
        weights_sha256=sha256_file(folder / "model.safetensors"),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
