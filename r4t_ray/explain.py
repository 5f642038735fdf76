"""The tree that `r4t config` prints, and docs/settings.md, both from the descriptions of the settings.

``python -m r4t_ray.explain docs/settings.md`` writes the page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from r4t_ray.config import Settings, load_settings
from r4t_ray.config.describe import describe, short
from r4t_ray.config.presets import Preset
from r4t_ray.config.reference import Row, markdown_table, setting_rows
from r4t_ray.experiment import Experiment

PAGE = """\
# Settings

This page is generated: `make docs` writes it from the descriptions in the code. `r4t config CONFIG` prints all
settings of one YAML file with their descriptions, and marks the values that differ from the default.

Only `catalogue` is required. Every other key has a default.

```yaml
extends: cookbook.yaml     # optional: start from another YAML file, relative to this one
preset: small              # optional: small (the defaults), fast (no language model) or paper
catalogue: {{type: sets, items: items.jsonl, sets: sets.jsonl}}
folm:
  grpo:
    oar: {{num_steps: 100}}  # the other settings of oar, and all of wscr, keep their defaults
```

- Mappings merge key by key with the file that `extends` names and with the defaults. Lists and values replace.
- `null` resets a key to its default. If a setting may be null, `null` sets it to null.
- A setting with one value per task is a mapping with the keys `oar` (open-ended abstract retrieval) and `wscr` (weakly
  supervised compositional retrieval). In the tables, `{{oar,wscr}}` stands for one of the two.
- `Changes no result.` ends the description of a setting that says how a stage runs. Changing it leaves finished stages
  as they are, and an unfinished stage continues ([resuming.md](resuming.md)).
- In the tables, `NAME` stands for a name that you choose and `[]` for an entry of a list. `(sets)` means that the
  setting belongs to `type: sets`.

## Which settings matter on a GPU

The defaults are made for two CPU cores. `jobs/configs/polyvore.yaml` shows a whole configuration for GPUs.

| setting | on a GPU | reason |
|---|---|---|
{gpu}

## What `preset: paper` changes

`preset: paper` starts from Table 3 of arXiv 2603.06397. Set the base model, the encoder and the workers yourself.

| setting | small | paper |
|---|---|---|
{paper}

{sections}"""

GPU_SETTINGS: tuple[tuple[str, str, str], ...] = (
    ("encoder.actors.gpus", "1", "The encoder embeds the catalogue on a GPU."),
    ("encoder(sentence_transformer).batch_size", "256 or more", "Small batches leave a GPU idle."),
    ("folm.engine.type", "vllm", "vLLM samples. auto also takes vLLM if it is installed."),
    ("folm.engine.dtype", "bfloat16", "Half the memory of float32, and a much higher matmul rate."),
    ("folm.engine.max_model_len", "2048", "Prompt and completion must fit. Larger values need more memory."),
    ("folm.rollout.gpus", "1", "Each rollout actor samples on a GPU; `folm.rollout.num` is the number of actors."),
    ("folm.learner.gpus", "1", "Each learner worker trains on a GPU; `folm.learner.num` is the number of workers."),
    ("folm.fsdp", "true", "Shards a model that does not fit into the memory of one GPU. Experimental."),
    ("folm.lora", "{rank: 16}", "Trains adapters only, which needs much less memory."),
    ("folm.grpo.{oar,wscr}.micro_batch_size", "8 to 64", "The largest value that fits into the memory is the fastest."),
    ("folm.grpo.{oar,wscr}.max_staleness", "1", "Sampling and learning overlap instead of waiting for each other."),
    ("pairs.actors.gpus", "1", "Each actor samples pairs on a GPU; `pairs.actors.num` is the number of actors."),
    (
        "pairs.writers.num",
        "2 or more",
        "One writer embeds and searches on half a CPU and can be slower than the engines.",
    ),
    ("diffusion.workers.gpus", "1", "Each worker trains on a GPU; `diffusion.workers.num` is the number of workers."),
    (
        "diffusion.cache_pairs",
        "true if they fit",
        "The pairs stay in the GPU's memory, so training does not wait for files.",
    ),
    ("diffusion.compile", "true", "torch.compile makes a step of a large network faster."),
    ("diffusion.optimizer.batch_size", "512", "The batch of all workers together. Larger batches use a GPU better."),
    ("serve.gateway.gpus", "1", "Encoder and diffusion run on a GPU. Fractions let replicas share one."),
)
"""Setting, its value on a GPU, and the reason."""


def resolved_config(path: Path) -> str:
    """The settings of one YAML file as YAML with descriptions; values that differ from the preset are marked."""
    experiment = load_settings(Experiment, path)
    label = "default" if experiment.preset == "small" else experiment.preset
    head = f"# {path}, resolved. `# {label}: VALUE` marks a setting that differs from it.\n"
    return head + describe(experiment, _preset_of(experiment), label)


def settings_page() -> str:
    """The text of docs/settings.md."""
    rows = list(setting_rows(Experiment))
    top = [row for row in rows if row.key in ("seed", "preset")]
    sections = [f"## Top level\n\n{markdown_table(top)}"]
    for name, info in Experiment.model_fields.items():
        inside = [row for row in rows if row.key.startswith((f"{name}.", f"{name}("))]
        if inside:
            sections.append(f"## {name}\n\n{info.description}\n\n{markdown_table(inside)}")
    gpu = "\n".join(f"| `{setting}` | {value} | {reason} |" for setting, value, reason in GPU_SETTINGS)
    paper = "\n".join(
        f"| `{row.key}` | `{row.default}` | `{row.description}` |" for row in _preset_differences("paper")
    )
    return PAGE.format(gpu=gpu, paper=paper, sections="\n\n".join(sections) + "\n")


def _preset_of(experiment: Experiment) -> Experiment:
    """An experiment with the same preset and data; all other settings keep their defaults."""
    catalogue = experiment.catalogue
    required = [name for name, info in type(catalogue).model_fields.items() if info.is_required() or name == "type"]
    data = {name: getattr(catalogue, name) for name in required}
    return Experiment.model_validate({"preset": experiment.preset, "catalogue": data})


def _preset_differences(preset: Preset) -> Iterator[Row]:
    """Each setting that a preset changes, its default, and its value in the preset."""
    data = {"catalogue": {"type": "cookbook"}}
    small, other = (Experiment.model_validate(data | {"preset": name}) for name in ("small", preset))
    return (row for row in _differences(small, other, "") if row.key != "preset")


def _differences(first: Settings, second: Settings, above: str) -> Iterator[Row]:
    for name in type(first).model_fields:
        one, other = getattr(first, name), getattr(second, name)
        if isinstance(one, Settings) and isinstance(other, Settings):
            if type(one).model_fields.keys() == type(other).model_fields.keys():
                yield from _differences(one, other, f"{above}{name}.")
            else:  # members of a union, which `type` tells apart
                yield Row(f"{above}{name}.type", *(short(getattr(each, "type", None)) for each in (one, other)))
        elif one != other:
            yield Row(above + name, short(one), short(other))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(settings_page(), encoding="utf-8")
