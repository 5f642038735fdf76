"""The diffusion retriever: a query's embedding in, a set of directions to search out (arXiv 2603.06397, sec. 2.5)."""

# The hub mixin reads the annotations of __init__ as types, so they are not postponed here.

from pathlib import Path
from typing import Any, Self, get_args

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import Tensor, nn
from torch.nn import functional

from r4t_ray.diffusion.anchors import AnchorMixture
from r4t_ray.diffusion.guidance import guided_denoiser
from r4t_ray.diffusion.model_card import MODEL_CARD, weights_facts
from r4t_ray.diffusion.network import SetTransformer
from r4t_ray.diffusion.preconditioning import c_in, c_noise, c_out, c_skip
from r4t_ray.diffusion.samplers import SAMPLERS
from r4t_ray.diffusion.schedule import sampling_sigmas
from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig, SamplerConfig, Solver
from r4t_ray.diffusion.steering import Steering
from r4t_ray.errors import ArtifactError, ConfigError, MissingArtifactError, RequestError

WEIGHTS, CONFIG = "model.safetensors", "config.json"
RETRAIN = "run `r4t train-diffusion CONFIG --workspace DIR`"


class DiffusionRetriever(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="r4t-ray",
    model_card_template=MODEL_CARD,
    coders={
        kind: (lambda settings: settings.model_dump(), kind.model_validate)
        for kind in (NetworkConfig, NoiseConfig, SamplerConfig)
    },
):
    """The EDM-preconditioned denoiser D(z; sigma, z_q) and its sampler.

    Args:
        network: Shape of the set transformer.
        noise: Range of the noise, sigma_data.
        sampler: Defaults of ``generate``.
    """

    def __init__(
        self,
        network: NetworkConfig = NetworkConfig(),  # noqa: B008 - frozen
        noise: NoiseConfig = NoiseConfig(),  # noqa: B008 - frozen
        sampler: SamplerConfig = SamplerConfig(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        self.noise, self.sampler = noise, sampler
        self.network = SetTransformer(network)
        self.mixture = AnchorMixture(network) if network.num_anchors else None

    def forward(self, z_BLD: Tensor, sigma_B: Tensor, z_q_BD: Tensor, is_dropped_B: Tensor) -> Tensor:
        """D: the estimate of the clean rows.

        Args:
            z_BLD: Z + sigma eps.
            sigma_B: Noise level of each query, above 0.
            z_q_BD: Unit query embeddings.
            is_dropped_B: bool; where True the estimate is unconditional.
        """
        sigma_data, sigma_B11 = self.noise.sigma_data, sigma_B[:, None, None]
        condition_BD = self.network.condition(z_q_BD, is_dropped_B)
        hidden_BLH = self.network.hidden_rows(c_in(sigma_B11, sigma_data) * z_BLD, c_noise(sigma_B), condition_BD)
        output_BLD = self.network.rows_out(hidden_BLH)
        denoised: Tensor = c_skip(sigma_B11, sigma_data) * z_BLD + c_out(sigma_B11, sigma_data) * output_BLD
        if self.mixture is None:
            return denoised
        mixed: Tensor = self.mixture(denoised, z_BLD, sigma_B, hidden_BLH, condition_BD)
        return mixed

    @torch.no_grad()
    def generate(
        self,
        z_q_BD: Tensor,
        *,
        num_steps: int | None = None,
        solver: Solver | None = None,
        guidance: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Sample L directions for each query.

        Args:
            z_q_BD: Unit query embeddings, float32, on the module's device.
            num_steps: Steps of the solver; like the two below, None takes the default in ``self.sampler``.
            solver: A name of ``settings.Solver``. Steps and guidance say nothing to "likeliest" and "one_step".
            guidance: Strength g of classifier-free guidance; 0 halves the work.
            generator: Source of all randomness, on the module's device.

        Returns:
            z_BLD with unit rows: the best first from one of ``RANKED_SOLVERS``, else in no particular order.

        Raises:
            RequestError: z_q_BD is not (B, d) of the network's width.
            ConfigError: An unknown solver, or fewer than one step.
        """
        shape, sampler = self.network.config, self.sampler
        num_steps = sampler.num_steps if num_steps is None else num_steps
        solver = sampler.solver if solver is None else solver
        guidance = sampler.guidance if guidance is None else guidance
        if z_q_BD.ndim != 2 or z_q_BD.shape[1] != shape.dim:
            raise RequestError(
                "z_q", f"shape {tuple(z_q_BD.shape)}", f"(B, {shape.dim})", "embed queries with the catalogue's encoder"
            )
        if solver not in get_args(Solver) or num_steps < 1:
            raise ConfigError(
                "sampler", f"solver {solver!r} with {num_steps} steps", f"one of {get_args(Solver)}, 1 step or more",
                "correct the sampler settings",
            )  # fmt: skip
        noise_BLD = torch.randn(
            (len(z_q_BD), shape.num_rows, shape.dim), generator=generator, device=z_q_BD.device, dtype=z_q_BD.dtype
        )
        asked = SamplerConfig(solver=solver, num_steps=num_steps, guidance=guidance, levels=sampler.levels)
        return self.solve(noise_BLD, z_q_BD, asked, generator)

    @torch.no_grad()
    def solve(
        self,
        noise_BLD: Tensor,
        z_q_BD: Tensor,
        sampler: SamplerConfig,
        generator: torch.Generator | None = None,
        steering: Steering | None = None,
    ) -> Tensor:
        """What a solver makes of given noise.

        Args:
            noise_BLD: Standard normal.
            z_q_BD: Unit query embeddings.
            sampler: Solver, steps, guidance and levels.
            generator: Of the noise that the SDE solver adds at each step.
            steering: What the queries want beside themselves.

        Returns:
            z_BLD, unit rows.
        """
        if sampler.solver == "likeliest":
            return self.likeliest(z_q_BD, noise_BLD, steering)
        start_BLD = steering.tempered(noise_BLD) if steering else noise_BLD
        if sampler.solver == "one_step":
            return self.one_step(start_BLD, z_q_BD, steering)
        sigmas_S = sampling_sigmas(sampler.levels, sampler.num_steps, self.noise)
        denoise = guided_denoiser(self, z_q_BD, sampler.guidance)

        def draw() -> Tensor:
            fresh_BLD = torch.randn(
                noise_BLD.shape, generator=generator, device=noise_BLD.device, dtype=noise_BLD.dtype
            )
            return steering.tempered(fresh_BLD) if steering else fresh_BLD

        steered = (lambda z_BLD, sigma_B: steering.rows(denoise(z_BLD, sigma_B))) if steering else denoise
        z_BLD = SAMPLERS[sampler.solver](steered, float(sigmas_S[0]) * start_BLD, sigmas_S, draw)
        return functional.normalize(z_BLD, dim=-1)

    @torch.no_grad()
    def one_step(self, noise_BLD: Tensor, z_q_BD: Tensor, steering: Steering | None = None) -> Tensor:
        """One evaluation at sigma_max: each row's likeliest anchor, or D itself where there are no anchors.

        For a student (``student.distill``), which learnt where its teacher's trajectories end; of any other retriever D
        is there the mean of all it might have meant.
        """
        z_BLD = self.noise.sigma_max * noise_BLD
        if self.mixture is None:
            estimate_BLD = self.at_start(z_BLD, z_q_BD)
            return functional.normalize(steering.rows(estimate_BLD) if steering else estimate_BLD, dim=-1)
        logits_BLN, anchors_ND = self.start_logits(z_BLD, z_q_BD), self.mixture.anchors_ND
        if steering:
            logits_BLN = logits_BLN + steering.anchor_bias(anchors_ND)[:, None]
        return anchors_ND[logits_BLN.argmax(dim=-1)]

    def at_start(self, z_BLD: Tensor, z_q_BD: Tensor) -> Tensor:
        """D at sigma_max."""
        sigma_B = torch.full_like(z_q_BD[:, 0], self.noise.sigma_max)
        estimate: Tensor = self(z_BLD, sigma_B, z_q_BD, torch.zeros_like(sigma_B, dtype=torch.bool))
        return estimate

    @torch.no_grad()
    def likeliest(self, z_q_BD: Tensor, noise_BLD: Tensor | None = None, steering: Steering | None = None) -> Tensor:
        """The L anchors that a query's rows are likeliest to be, the likeliest first: one evaluation, no draw.

        Not in arXiv 2603.06397. At z = 0 and sigma_max the rows are alike and know nothing but the query, so the
        weights of the anchor mixture are the shares in which it expects to find each anchor among them. What most
        samples would hold comes back, without the chance of one and without the variety of many.

        Args:
            z_q_BD: Unit query embeddings.
            noise_BLD: What a temperature above 1 perturbs by.
            steering: What the queries want beside themselves.

        Returns:
            z_BLD, unit rows, all different.

        Raises:
            ConfigError: The network has fewer anchors than rows.
        """
        shape = self.network.config
        if self.mixture is None or shape.num_anchors < shape.num_rows:
            raise ConfigError(
                "sampler: solver 'likeliest'",
                f"a network with {shape.num_anchors} anchors",
                f"num_rows = {shape.num_rows} or more",
                "take another solver, or train with diffusion.network.num_anchors set",
            )
        logits_BN, anchors_ND = self.prior_logits(z_q_BD), self.mixture.anchors_ND
        if steering and noise_BLD is not None:
            logits_BN = logits_BN + steering.anchor_bias(anchors_ND) + steering.perturbation(noise_BLD, anchors_ND)
        return anchors_ND[logits_BN.topk(shape.num_rows).indices]

    def prior_logits(self, condition_BD: Tensor) -> Tensor:
        """Logits (B, N) of the shares in which a query's rows are each anchor; for a retriever that has anchors.

        Args:
            condition_BD: Query embeddings, the null embedding where dropped.
        """
        # Rows that are alike attend to themselves only: one of them stands for all.
        return self.start_logits(torch.zeros_like(condition_BD)[:, None], condition_BD)[:, 0]

    def start_logits(self, z_BLD: Tensor, condition_BD: Tensor) -> Tensor:
        """Logits (B, L, N) of each row's anchor at sigma_max; for a retriever that has anchors.

        Args:
            z_BLD: Rows at sigma_max.
            condition_BD: As in ``prior_logits``.
        """
        assert self.mixture is not None, "asked of a retriever with anchors"
        sigma_B = torch.full_like(condition_BD[:, 0], self.noise.sigma_max)
        rows_BLD = c_in(sigma_B[:, None, None], self.noise.sigma_data) * z_BLD
        head_BLE = self.mixture.row_head(self.network.hidden_rows(rows_BLD, c_noise(sigma_B), condition_BD))
        return self.mixture.logits(z_BLD, sigma_B, head_BLE, condition_BD)

    def generate_model_card(self, **facts: Any) -> ModelCard:
        """README.md of ``save_pretrained`` and ``push_to_hub``, whose ``model_card_kwargs`` are the facts.

        Args:
            facts: Values for names of ``model_card.MODEL_CARD``; what is not among them is said as not known.
        """
        num_parameters = sum(parameter.numel() for parameter in self.parameters())
        known = weights_facts(self.network.config, self.noise, self.sampler, num_parameters)
        return super().generate_model_card(**(known | facts))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
        """Load a folder written by ``save_pretrained`` (no network), or a model of the Hugging Face hub.

        Raises:
            MissingArtifactError: The folder, its weights or its config.json is not there.
            ArtifactError: The weights do not fit config.json.
        """
        path = Path(pretrained_model_name_or_path)
        if path.is_dir() or path.is_absolute() or isinstance(pretrained_model_name_or_path, Path):
            for name in (CONFIG, WEIGHTS):
                if not (path / name).is_file():
                    raise MissingArtifactError(str(path / name), "no such file", f"{CONFIG} and {WEIGHTS}", RETRAIN)
        loaded: Self = super().from_pretrained(pretrained_model_name_or_path, **options)
        return loaded

    @classmethod
    def _from_pretrained(cls, *, model_id: str, map_location: str = "cpu", **options: Any) -> Self:
        """Load strictly and safetensors only: a missing or surplus weight is an error, and nothing is unpickled."""
        settings = {key: options.pop(key) for key in ("network", "noise", "sampler") if key in options}
        folder = Path(model_id)
        weights = str(folder / WEIGHTS) if folder.is_dir() else hf_hub_download(model_id, WEIGHTS, **options)
        model = cls(**settings)
        try:
            load_model(model, weights, strict=True, device=map_location)
        except (RuntimeError, SafetensorError) as error:
            raise ArtifactError(
                weights, f"weights that do not load ({error})"[:500], f"those of {CONFIG}", RETRAIN
            ) from error
        return model.to(map_location).eval()
