"""The diffusion retriever (arXiv 2603.06397, sec. 2.5): how it is saved, loaded and pushed to the hub."""

# The hub mixin reads the annotations of __init__ as types, so they are not postponed here.

from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import Tensor

from r4t_ray.diffusion import generation
from r4t_ray.diffusion.denoiser import Denoiser
from r4t_ray.diffusion.model_card import MODEL_CARD, weights_facts
from r4t_ray.diffusion.samplers import SolverName
from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig, SamplerConfig
from r4t_ray.errors import ArtifactError, MissingArtifactError

WEIGHTS, CONFIG = "model.safetensors", "config.json"
RETRAIN = "run `r4t train-diffusion CONFIG --workspace DIR`"


class DiffusionRetriever(
    Denoiser,
    PyTorchModelHubMixin,
    library_name="r4t-ray",
    model_card_template=MODEL_CARD,
    coders={
        kind: (lambda settings: settings.model_dump(), kind.model_validate)
        for kind in (NetworkConfig, NoiseConfig, SamplerConfig)
    },
):
    """A denoiser with the sampler settings that it was trained for.

    Args:
        network: Shape of the set transformer.
        noise: Range of the noise, and sigma_data.
        sampler: Defaults of ``generate``.
    """

    def __init__(
        self,
        network: NetworkConfig = NetworkConfig(),  # noqa: B008 - frozen
        noise: NoiseConfig = NoiseConfig(),  # noqa: B008 - frozen
        sampler: SamplerConfig = SamplerConfig(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(network, noise)
        self.sampler = sampler

    def generate(
        self,
        z_q_BD: Tensor,
        *,
        num_steps: int | None = None,
        solver: SolverName | None = None,
        guidance: float | None = None,
        generator: torch.Generator | None = None,
        num_rows: int = 0,
    ) -> Tensor:
        """Sample L directions for each query.

        Args:
            z_q_BD: Unit query embeddings, float32, on the module's device.
            num_steps: Steps of the solver. Default: ``self.sampler.num_steps``.
            solver: A name in ``samplers.SOLVERS``. Default: ``self.sampler.solver``.
            guidance: Classifier-free guidance strength g; above 0 each step costs twice as much. Default:
                ``self.sampler.guidance``.
            generator: Source of all randomness, on the module's device. Default: torch's global generator.
            num_rows: If it exceeds L and the solver ``is_ranked``, there are so many rows; at most one per anchor.

        Returns:
            z_BLD, unit rows. A solver that ``is_ranked`` returns the best row first; the other solvers return the rows
            in no order.

        Raises:
            RequestError: z_q_BD is not (B, d) of the network's width.
            ConfigError: The solver is unknown, there is less than one step, guidance is below 0, or the solver needs
                more anchors than the network has.
        """
        sampler = generation.sampler_with(self.sampler, solver=solver, num_steps=num_steps, guidance=guidance)
        return generation.generate(self, z_q_BD, sampler, generator=generator, num_rows=num_rows)

    def with_sampler(self, sampler: SamplerConfig) -> "DiffusionRetriever":
        """A copy with other sampler settings, in evaluation mode; ``save_pretrained`` records them."""
        copied = DiffusionRetriever(self.network.config, self.noise, sampler)
        copied.load_state_dict(self.state_dict())
        return copied.to(next(self.parameters()).device).eval()

    def generate_model_card(self, **facts: Any) -> ModelCard:
        """The README.md that ``save_pretrained`` and ``push_to_hub`` write; ``model_card_kwargs`` become ``facts``.

        Args:
            facts: Values for placeholders of ``model_card.MODEL_CARD``. For a missing value the card says that it was
                not recorded or not measured.
        """
        num_parameters = sum(parameter.numel() for parameter in self.parameters())
        known = weights_facts(self.network.config, self.noise, self.sampler, num_parameters)
        return super().generate_model_card(**(known | facts))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
        """Load a folder that ``save_pretrained`` wrote, without internet access, or a model from the Hugging Face hub.

        Raises:
            MissingArtifactError: The folder, its weights or its config.json is missing.
            ArtifactError: config.json does not hold the settings of this version, or the weights do not fit it.
        """
        path = Path(pretrained_model_name_or_path)
        if path.is_dir() or path.is_absolute() or isinstance(pretrained_model_name_or_path, Path):
            for name in (CONFIG, WEIGHTS):
                if not (path / name).is_file():
                    raise MissingArtifactError(str(path / name), "no such file", f"{CONFIG} and {WEIGHTS}", RETRAIN)
        try:
            loaded: Self = super().from_pretrained(pretrained_model_name_or_path, **options)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise ArtifactError(
                f"{pretrained_model_name_or_path}/{CONFIG}", faults[:500], "the settings of this version", RETRAIN
            ) from error
        return loaded

    @classmethod
    def _from_pretrained(cls, *, model_id: str, map_location: str = "cpu", **options: Any) -> Self:
        """Load safetensors strictly: a missing or surplus weight is an error, and nothing is unpickled."""
        settings = {key: options.pop(key) for key in ("network", "noise", "sampler") if key in options}
        folder = Path(model_id)
        weights = str(folder / WEIGHTS) if folder.is_dir() else hf_hub_download(model_id, WEIGHTS, **options)
        model = cls(**settings)
        try:
            load_model(model, weights, strict=True, device=map_location)
        except (RuntimeError, SafetensorError) as error:
            raise ArtifactError(
                weights, f"weights that do not load ({error})"[:500], f"the weights of {CONFIG}", RETRAIN
            ) from error
        return model.to(map_location).eval()
