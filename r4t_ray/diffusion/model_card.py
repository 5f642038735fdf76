"""The model card of a diffusion retriever: facts that the weights give, and placeholders that a workspace fills."""

from __future__ import annotations

from collections.abc import Mapping

from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig, SamplerConfig

MODEL_CARD = """---
{{ card_data }}
---
# {{ title }}

A diffusion retriever of r4t_ray (R4T, arXiv 2603.06397). It maps the unit embedding of a query, of width {{ dim }}, \
to {{ num_rows }} directions. The items of a catalogue nearest to the directions are the answer. It has \
{{ num_parameters }} parameters. It knows vectors only, so queries and items must be embedded by the encoder of its \
training data.

```python
from r4t_ray.diffusion import DiffusionRetriever

retriever = DiffusionRetriever.from_pretrained("{{ repo_id }}")
z_BLD = retriever.generate(z_q_BD)  # float32 ({{ "B, %d" % dim }}) to unit rows ({{ "B, %d, %d" % (num_rows, dim) }})
```

## Data

{{ data }}
{{ remembered }}
## Settings

| setting | value |
|---|---|
{{ settings }}
{{ training }}

## Measured

{{ measured }}
"""
"""The template. ``weights_facts`` has a value for each placeholder except ``card_data``, which the hub mixin fills."""

NOT_MEASURED = "Not measured."
REMEMBERED = """
The weights hold the embeddings of {:,} queries of a log, and which entries fit each. A text can be guessed from its \
embedding, so share the weights only with people who may read the log.
"""


def setting_rows(section: str, values: Mapping[str, object]) -> str:
    """Lines of the table of settings.

    >>> print(setting_rows("noise", {"sigma_max": 80.0, "train_levels": "karras"}))
    | noise.sigma_max | 80.0 |
    | noise.train_levels | karras |
    """
    return "\n".join(f"| {section}.{name} | {value} |" for name, value in values.items())


def weights_facts(
    network: NetworkConfig, noise: NoiseConfig, sampler: SamplerConfig, num_parameters: int
) -> dict[str, object]:
    """The facts of the card that follow from a retriever's weights and settings."""
    sections = {"network": network, "noise": noise, "sampler": sampler}
    return {
        "title": "Diffusion retriever",
        "repo_id": "OWNER/NAME",
        "dim": network.dim,
        "num_rows": network.num_rows,
        "num_parameters": f"{num_parameters:,}",
        "data": "Not recorded.",
        "remembered": REMEMBERED.format(network.num_keys) if network.num_keys else "",
        "settings": "\n".join(setting_rows(name, section.model_dump()) for name, section in sections.items()),
        "training": "| optimizer | not recorded |",
        "measured": NOT_MEASURED,
    }
