"""The graph of deployments, its arguments, and the workspaces that it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary

from r4t_ray import index
from r4t_ray.artifacts import Workspace
from r4t_ray.embedding_table import embedding_table, read_embedding_table
from r4t_ray.errors import ArtifactError, MissingArtifactError
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.app import AppArgs, build_app, scaled
from r4t_ray.serve.args import Scaling
from r4t_ray.serve.shard import Shard

from ..conftest import SEED, NoSettings, build_retrievers


@pytest.fixture
def copied(grown_workspace: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(grown_workspace.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def test_serve_turns_the_args_of_a_config_into_typed_ones(tiny_workspace: Workspace) -> None:
    args = {"workspace": str(tiny_workspace.root), "shards": "deployed"}
    application = call_user_app_builder_with_args_if_necessary(build_app, args)
    typed = application._bound_deployment.init_args[0]
    assert isinstance(typed, AppArgs)
    assert typed.shards == "deployed"
    with pytest.raises(ValidationError, match="shard_count"):
        call_user_app_builder_with_args_if_necessary(build_app, {**args, "shard_count": 2})
    gpu = {"generator": {"gpus": 1.0}}
    assert AppArgs(models="deployed", **gpu).generator.gpus == 1.0
    with pytest.raises(ValidationError, match="only with models: deployed"):
        AppArgs(**gpu)


def test_every_deployment_scales_by_its_own_settings() -> None:
    deployment = scaled(Shard, Scaling(min_replicas=2, max_replicas=5, gpus=0.5, max_queued_requests=7))
    autoscaling = deployment._deployment_config.autoscaling_config
    assert (autoscaling.min_replicas, autoscaling.max_replicas) == (2, 5)
    assert deployment.max_queued_requests == 7
    assert deployment.ray_actor_options is not None
    assert deployment.ray_actor_options["num_gpus"] == 0.5
    assert deployment.backpressure_config.status_code == 429


def test_a_workspace_without_stages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match="no finished artifact"):
        build_app(AppArgs(workspace=str(tmp_path)))


@pytest.mark.parametrize(
    "name",
    [
        "index/oar/shard_001.faiss",
        "diffusion/wscr/model.safetensors",
        "encoder/model/pca.safetensors",
        "new_entries/items.parquet",
    ],
)
def test_a_tampered_file_is_refused(copied: Workspace, name: str) -> None:
    path = copied.root / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{path.name}.*sha256"):
        build_app(AppArgs(workspace=str(copied.root)))
    with pytest.raises(ArtifactError, match="sha256"):
        Retriever(copied.root)


def replace_encoder(workspace: Workspace, folder: Path) -> None:
    """Rebuild `encoder` in place as if by another encoder: all rows are turned by the same rotation."""
    shutil.copytree(workspace.root / "encoder", folder, ignore=shutil.ignore_patterns("manifest.json"))

    def make(partial: Path) -> int:
        shutil.copytree(folder, partial, dirs_exist_ok=True)
        for kind in ("items", "sets", "queries"):
            ids, emb_MD = read_embedding_table(folder / f"{kind}.parquet")
            pq.write_table(embedding_table(ids, np.roll(emb_MD, 1, axis=1)), partial / f"{kind}.parquet")
        return 1

    workspace.build("encoder", NoSettings(), SEED, ["catalogue"], make)


def test_artifacts_of_another_encoder_are_refused(copied: Workspace, tmp_path: Path) -> None:
    args = AppArgs(workspace=str(copied.root))
    replace_encoder(copied, tmp_path / "encoder")
    with pytest.raises(ArtifactError, match=r"index.*another 'encoder'"):
        build_app(args)
    # The index fits again, but the retriever and its pairs still come from the old encoder.
    index.run(index.IndexConfig(type="flat", num_shards=2), copied, SEED)
    with pytest.raises(ArtifactError, match="built from another 'encoder'"):
        build_app(args)
    build_retrievers(copied)
    with pytest.raises(ArtifactError, match=r"new_entries: got .*another 'encoder'.*run `r4t add --workspace DIR`"):
        build_app(args)
    shutil.rmtree(copied.root / "new_entries")
    build_app(args)


def test_the_answer_names_the_retriever_by_its_fingerprint(grown_workspace: Workspace, copied: Workspace) -> None:
    build_retrievers(copied, seed=9)
    request = parse_request(query="dinner", k=2, n=3)
    before, after = (Retriever(place.root).answer(request) for place in (grown_workspace, copied))
    assert before.model.diffusion != after.model.diffusion
    assert before.model.index == after.model.index
    assert before.directions != after.directions
