"""A tiny workspace made by the real stages: MiniLM, FAISS in two shards, and a small untrained retriever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.config import Settings

SEED = 3
DIM = 16
NUM_ROWS = 6
MAINS = ("lentil", "tomato", "chicken", "rice", "salmon", "mushroom", "pumpkin", "bean")
FORMS = ("soup", "salad", "stew", "curry", "pie", "bake")


class NoSettings(Settings):
    """Settings of a stage that has none."""


def write_catalogue(folder: Path) -> dict[str, object]:
    """48 dishes of three ingredients each, as the user's own files; gives the catalogue's settings."""
    folder.mkdir(parents=True, exist_ok=True)
    items = [*MAINS, *(f"{form} base" for form in FORMS), "salt", "olive oil", "garlic", "basil"]
    sets = [(main, form) for main in MAINS for form in FORMS]
    lines = [json.dumps({"item_id": f"i-{name}", "text": name}) for name in items]
    (folder / "items.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = [
        {
            "set_id": f"s-{main}-{form}",
            "title": f"{main} {form}",
            "item_ids": [f"i-{main}", f"i-{form} base", f"i-{items[-1 - number % 4]}"],
        }
        for number, (main, form) in enumerate(sets)
    ]
    (folder / "sets.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return {"type": "sets", "items": str(folder / "items.jsonl"), "sets": str(folder / "sets.jsonl")}


def build_retrievers(workspace: Workspace, seed: int = SEED) -> None:
    """The pairs and diffusion folders with retrievers of random weights, saved as the stage saves them."""
    import torch

    from r4t_ray.diffusion import DiffusionRetriever
    from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig, SamplerConfig

    def save(folder: Path) -> int:
        network = NetworkConfig(num_rows=NUM_ROWS, dim=DIM, hidden=32, mlp=32, num_heads=2, num_layers=2)
        noise = NoiseConfig(sigma_min=0.05, sigma_max=1.0, sigma_data=DIM**-0.5)
        for task in ("oar", "wscr"):
            torch.manual_seed(seed)
            retriever = DiffusionRetriever(network, noise, SamplerConfig(solver="heun", num_steps=6))
            with torch.no_grad():  # The output layers start at zero, which would hide query and seed of the weights.
                for parameter in retriever.parameters():
                    parameter.normal_(0, 0.3)
            retriever.save_pretrained(folder / task)
        return 2

    def no_pairs(folder: Path) -> int:
        (folder / "pairs.txt").write_text("none", encoding="utf-8")
        return 0

    workspace.build("pairs", NoSettings(), seed, ["embed", "index"], no_pairs)
    workspace.build("diffusion", NoSettings(), seed, ["pairs"], save)


@pytest.fixture(scope="session")
def tiny_workspace(ray_session: str, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Ingested, embedded, indexed in two shards, with a retriever a task."""
    from pydantic import TypeAdapter

    from r4t_ray import catalogue, encoders, index

    root = tmp_path_factory.mktemp("serve")
    workspace = Workspace(root / "workspace")
    settings = TypeAdapter(catalogue.CatalogueConfig).validate_python(write_catalogue(root / "catalogue"))
    catalogue.run(settings, workspace, SEED)
    encoders.run(encoders.EncoderConfig(dim=DIM), workspace, SEED)
    index.run(index.IndexConfig(type="flat", num_shards=2), workspace, SEED)
    build_retrievers(workspace)
    return workspace
