"""Query text -> directions -> hits in this process, without Ray: encoder, diffusion retrievers and index shards."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import torch

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.diffusion import PROGRAM, SOLVERS, DiffusionRetriever
from r4t_ray.diffusion.anchor_program import AnchorProgram
from r4t_ray.diffusion.entries import anchors_of_entries
from r4t_ray.diffusion.generation import generate_each, sampler_with
from r4t_ray.diffusion.settings import SamplerConfig
from r4t_ray.diffusion.transforms import Steering
from r4t_ray.embedding_table import read_embedding_table
from r4t_ray.encoders import CachedEncoder, load_encoder, load_serving_encoder
from r4t_ray.errors import DataError
from r4t_ray.index import Shard, look_up
from r4t_ray.machine.threads import limit_threads
from r4t_ray.onnx_export import has_runtime
from r4t_ray.retrieval.generation import Generated, GenerationRequest
from r4t_ray.retrieval.loading import retriever_folder, served_sampler, served_tasks
from r4t_ray.retrieval.picking import Lookup
from r4t_ray.retrieval.settings import RetrievalSettings
from r4t_ray.types import POOLS, Array, IndexName, Rows, Task

LEAST_SHARE = 0.5
"""Share of the entries that a request allows that has to be anchors, so that its directions are picked among them."""
SERVED_TEXTS = 10_000
"""Texts whose embeddings a process that serves keeps. They take 10 MB at a width of 128."""


class DirectionGenerator:
    """An encoder and one diffusion retriever per task.

    Args:
        encoder: Text -> unit rows, with a cache of the last texts.
        retrievers: Task -> trained retriever, in evaluation mode.
        samplers: Task -> sampler settings. The guidance of a request replaces theirs.
        programs: Task -> its retriever in ONNX, with the same sampler. It answers the queries that it can.
        anchors: Task -> the number of the anchor that is each entry of its pool; see ``anchors_of_entries``. A task
            that is left out ignores which directions a request allows.
    """

    def __init__(
        self,
        encoder: CachedEncoder,
        retrievers: Mapping[Task, DiffusionRetriever],
        samplers: Mapping[Task, SamplerConfig],
        anchors: Mapping[Task, Rows] = MappingProxyType({}),
        programs: Mapping[Task, AnchorProgram] = MappingProxyType({}),
    ) -> None:
        self.encoder, self.retrievers, self.samplers, self.anchors = encoder, retrievers, samplers, anchors
        self.programs = programs

    @classmethod
    def load(
        cls, workspace: Workspace, settings: RetrievalSettings, device: str = "cpu", cpus: float | None = None
    ) -> Self:
        """Open the verified encoder and retrievers of a workspace.

        Args:
            workspace: The workspace.
            settings: The sampler.
            device: Torch device of the retrievers. On "cpu" ONNX Runtime runs the encoder and the retrievers that were
                exported.
            cpus: CPUs that are reserved for this process. Default: those that it may use.

        Raises:
            ArtifactError: A stage is missing or was changed.
        """
        threads = limit_threads(cpus)
        path = workspace.artifact("encoder").path / "model"
        encoder = load_serving_encoder(path, threads) if device == "cpu" else load_encoder(path)
        diffusion = workspace.artifact("diffusion")
        retrievers = {
            task: DiffusionRetriever.from_pretrained(retriever_folder(workspace, task, settings)).to(device).eval()
            for task in served_tasks(workspace)
        }
        samplers = {task: served_sampler(retriever.sampler, settings) for task, retriever in retrievers.items()}
        unchanged = [task for task, retriever in retrievers.items() if samplers[task] == retriever.sampler]
        programs = exported_programs(diffusion, unchanged, threads) if device == "cpu" else {}
        anchors: dict[Task, Rows] = {}
        # The directions of wscr are no entries, nor are those of a solver that does not rank anchors.
        mixture = retrievers["oar"].mixture if "oar" in retrievers else None
        if mixture is not None and SOLVERS[samplers["oar"].solver].is_ranked:
            anchors["oar"] = numbers_of_anchors(workspace, "oar", mixture.anchors_ND.cpu().numpy())
        return cls(CachedEncoder(encoder, SERVED_TEXTS), retrievers, samplers, anchors, programs)

    def __call__(self, requests: Sequence[GenerationRequest]) -> list[Generated]:
        """The query's embedding and the directions of each request: L, or more if its ``k`` is larger; none for 0.

        The directions of a request with ``sub_queries`` are their embeddings. Another request with ``k`` 0 and steering
        terms has one direction, the query. Steering moves both.

        The noise of a request comes from its seed. So its answer does not depend on the other requests of the batch,
        except for rounding, which depends on the batch size.
        """
        started = time.perf_counter()
        emb_of = self._embed(requests)
        encoded = time.perf_counter()
        made: dict[int, Array] = {at: emb_ND[:0] for at, emb_ND in enumerate(emb_of)}
        for task, guidance in {(request.task, request.guidance): None for request in requests if request.k}:
            positions = [
                at for at, one in enumerate(requests) if one.k and (one.task, one.guidance) == (task, guidance)
            ]
            z_BLD = self._sample([requests[at] for at in positions], [emb_of[at] for at in positions])
            made |= dict(zip(positions, z_BLD, strict=True))
        made |= {
            at: moved_texts(one, emb_ND)
            for at, (one, emb_ND) in enumerate(zip(requests, emb_of, strict=True))
            if not one.k and (one.sub_queries or not one.is_plain)
        }
        timings_ms = {"encode": 1e3 * (encoded - started), "generate": 1e3 * (time.perf_counter() - encoded)}
        return [
            Generated(emb_ND[0], made[at], timings_ms, one.sub_queries)
            for at, (one, emb_ND) in enumerate(zip(requests, emb_of, strict=True))
        ]

    def _embed(self, requests: Sequence[GenerationRequest]) -> list[Array]:
        """For each request its query vector, and the embeddings of its terms and sub-queries."""
        texts = [text for request in requests for text in request.texts]
        if not texts:
            return [request.z_q_D[None] for request in requests if request.z_q_D is not None]
        emb_ND = self.encoder.encode(texts, [kind for request in requests for kind in request.kinds])
        emb_of = np.split(emb_ND, np.cumsum([len(request.texts) for request in requests])[:-1])
        return [
            own_ND if request.z_q_D is None else np.concatenate([request.z_q_D[None], own_ND])
            for request, own_ND in zip(requests, emb_of, strict=True)
        ]

    def _sample(self, requests: Sequence[GenerationRequest], embs: Sequence[Array]) -> list[Array]:
        """Directions for requests of one task and guidance, each with the embeddings of its ``texts``."""
        task, guidance = requests[0].task, requests[0].guidance
        retriever, sampler = self.retrievers[task], self.samplers[task]
        if guidance is not None:
            sampler = sampler_with(sampler, guidance=guidance)
        device = next(retriever.parameters()).device
        z_q_BD = np.stack([emb_ND[0] for emb_ND in embs])
        steering = None if all(one.is_plain for one in requests) else steering_of(requests, embs, device)
        rows = [max(one.k, retriever.network.config.num_rows) for one in requests]
        allowed_BN = allowed_anchors(requests, self.anchors.get(task), retriever)
        program = self.programs.get(task)
        if program and steering is None and allowed_BN is None and max(rows) <= program.num_rows:
            return [*program(z_q_BD)]
        z_BLD = generate_each(
            retriever,
            torch.from_numpy(z_q_BD).to(device),
            sampler,
            seeds=[one.seed for one in requests],
            steering=steering,
            num_rows=max(rows),
            allowed_BN=allowed_BN,
        )
        # Each request keeps the rows that it gets alone. A ranked solver puts them first.
        return [z_LD[:own] for z_LD, own in zip(z_BLD.float().cpu().numpy(), rows, strict=True)]


def outcomes_of(generator: DirectionGenerator, requests: Sequence[GenerationRequest]) -> list[Generated | DataError]:
    """The outcome of each request. If the batch fails, each is computed alone: only the one at fault fails."""
    try:
        return [*generator(requests)]
    except DataError as error:
        if len(requests) == 1:
            return [error]
        return [outcome for request in requests for outcome in outcomes_of(generator, [request])]


def exported_programs(diffusion: Artifact, tasks: Sequence[Task], threads: int) -> dict[Task, AnchorProgram]:
    """Those of the tasks' retrievers that the stage `train-diffusion` wrote in ONNX, if this machine can run them."""
    paths = {task: f"{task}/{PROGRAM}" for task in tasks if has_runtime()}
    held = {task: name for task, name in paths.items() if name in diffusion.manifest.files}
    return {task: AnchorProgram(diffusion.file(name), threads) for task, name in held.items()}


def numbers_of_anchors(workspace: Workspace, task: Task, anchors_ND: Array) -> Rows:
    """The number of the anchor that is each entry of a task's pool, (M,); see ``anchors_of_entries``."""
    _, pool_MD = read_embedding_table(workspace.artifact("encoder").file(f"{POOLS[task]}.parquet"))
    return anchors_of_entries(pool_MD, anchors_ND)


def allowed_anchors(
    requests: Sequence[GenerationRequest], numbers_M: Rows | None, retriever: DiffusionRetriever
) -> torch.Tensor | None:
    """The anchors that each request allows, bool (B, N). None if no request of the batch leaves any out.

    A request of whose entries fewer than LEAST_SHARE are anchors allows all: its few anchors are far from the query.

    Args:
        requests: Requests of one task.
        numbers_M: ``numbers_of_anchors`` of the task. Rows of new entries come after them and are no anchors.
        retriever: The retriever of the task.
    """
    if numbers_M is None or all(one.allowed_M is None for one in requests):
        return None
    allowed_BN = np.ones((len(requests), retriever.network.config.num_anchors), dtype=bool)
    for allowed_N, one in zip(allowed_BN, requests, strict=True):
        if one.allowed_M is not None:
            numbers = numbers_M[np.flatnonzero(one.allowed_M[: len(numbers_M)])]
            known = numbers[numbers >= 0]
            if len(known) >= LEAST_SHARE * one.allowed_M.sum():
                allowed_N[:] = False
                allowed_N[known] = True
    return torch.from_numpy(allowed_BN).to(next(retriever.parameters()).device)


def moved_texts(request: GenerationRequest, emb_ND: Array) -> Array:
    """The sub-queries, or else the query, moved by ``Steering.rows``: unit rows. ``emb_ND`` embeds ``texts``."""
    rows_LD = emb_ND[-len(request.sub_queries) :] if request.sub_queries else emb_ND[:1]
    if request.is_plain:
        return rows_LD
    steering = steering_of([request], [emb_ND], torch.device("cpu"))
    moved_LD = steering.rows(torch.from_numpy(rows_LD[None]))[0].numpy()
    length_L1 = np.linalg.norm(moved_LD, axis=1, keepdims=True)
    return np.where(length_L1 > 1e-6, moved_LD / np.maximum(length_L1, 1e-6), rows_LD).astype(np.float32)


def steering_of(requests: Sequence[GenerationRequest], embs: Sequence[Array], device: torch.device) -> Steering:
    """The steering of a batch of requests, from the embeddings of their ``texts``."""
    dim, most = embs[0].shape[1], max(1, *(len(one.avoid) for one in requests))
    like_BD, avoid_BJD = np.zeros((len(requests), dim), np.float32), np.zeros((len(requests), most, dim), np.float32)
    for b, (one, emb_ND) in enumerate(zip(requests, embs, strict=True)):
        if one.like:
            like_BD[b] = emb_ND[1 : 1 + len(one.like)].mean(axis=0)
        avoid_BJD[b, : len(one.avoid)] = emb_ND[1 + len(one.like) :][: len(one.avoid)]
    numbers = [[one.temperature for one in requests], [one.strength for one in requests]]
    temperature_B, strength_B = torch.tensor(numbers, dtype=torch.float32, device=device)
    return Steering(
        temperature_B=temperature_B,
        strength_B=strength_B,
        like_BD=torch.from_numpy(like_BD).to(device),
        avoid_BJD=torch.from_numpy(avoid_BJD).to(device),
    )


@dataclass(frozen=True, kw_only=True)
class InProcess:
    """The backend of one process.

    Attributes:
        generator: Query text -> directions.
        shards: Name of an index -> all its shards.
    """

    generator: DirectionGenerator
    shards: Mapping[IndexName, tuple[Shard, ...]]

    def generate(self, request: GenerationRequest) -> Generated:
        """The query's embedding and the L directions of one request."""
        (generated,) = self.generator([request])
        return generated

    def search(self, name: IndexName, lookup: Lookup) -> Any:
        """What a lookup finds: scores and pool rows of each direction's hits, or embeddings."""
        return look_up(self.shards[name], lookup)
