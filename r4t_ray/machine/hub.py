"""The Hugging Face hub: its cache, and why a model could not be fetched, in words that name the cause."""

from __future__ import annotations

import os
from pathlib import Path

from r4t_ray.errors import MachineError, R4TError
from r4t_ray.machine.findings import Finding
from r4t_ray.machine.folders import WRITABLE, folder_finding

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
TRUE = {"1", "true", "yes", "on"}
ERRORS = {
    "CachedRepoTreeNotFoundError",
    "GatedRepoError",
    "HfHubHTTPError",
    "IncompleteSnapshotError",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "RepositoryNotFoundError",
    "RevisionNotFoundError",
}
"""Classes of huggingface_hub. They are known by name, so that nothing heavy is imported."""
NO_CONNECTION = {
    "ConnectError",
    "ConnectTimeout",
    "ConnectionError",
    "MaxRetryError",
    "NameResolutionError",
    "NewConnectionError",
    "PoolTimeout",
    "ProxyError",
    "ReadTimeout",
    "SSLError",
    "gaierror",
}
WORDS = ("couldn't connect to", "is not a valid model identifier", "not a local folder")
"""Words of the OSError by which transformers replaces the hub's own."""


def cache_folder() -> Path:
    """Where the hub's libraries keep models: HF_HUB_CACHE, or ``hub`` below HF_HOME, by default in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(base, "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")).expanduser()


def endpoint() -> str:
    """Address of the hub."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def check_hub_cache() -> Finding:
    """Whether models can be fetched into the cache. Only models named by a hub id are."""
    fix = f"export HF_HOME=DIR with {WRITABLE}; models by a path need no cache"
    given = any(os.environ.get(name) for name in ("HF_HOME", "HF_HUB_CACHE"))
    return folder_finding("model cache (HF_HOME)", cache_folder(), fix, required=given)


def hub_fault(chain: list[BaseException], where: str) -> R4TError | None:
    """The cause of a failed fetch, from an exception and its causes; None if no hub is involved."""
    names = {type(each).__name__ for each in chain}
    texts = [str(each) for each in chain]
    if not names & ERRORS and not any(word in text for word in WORDS for text in texts):
        return None
    offline = [name for name in OFFLINE if os.environ.get(name, "").lower() in TRUE]
    if "GatedRepoError" in names:
        return MachineError(
            where,
            "a model whose licence this user has not accepted, or no token",
            "a model that this user may fetch",
            f"accept the licence on the model's page at {endpoint()}, then `hf auth login` or HF_TOKEN",
        )
    if offline:
        return MachineError(
            where,
            f"no copy in the cache {cache_folder()}, and {offline[0]}={os.environ[offline[0]]} forbids to fetch it",
            "a model in the cache, or a hub that may be asked",
            f"unset {' '.join(offline)}; or fetch it elsewhere (`hf download ID`) and name the folder",
        )
    if names & {"RepositoryNotFoundError", "RevisionNotFoundError"}:
        return MachineError(
            where,
            f"neither a folder here nor a model at {endpoint()} that this user may see",
            "a path, or the id of a model",
            "correct the name; for a private model `hf auth login` or HF_TOKEN",
        )
    cause = next((f" ({text})" for each, text in zip(chain[::-1], texts[::-1], strict=True) if _is_network(each)), "")
    return MachineError(
        where,
        f"no copy in the cache {cache_folder()}, and no answer of {endpoint()}{cause[:200]}",
        "a model in the cache, or a hub within reach",
        "check the network and HTTPS_PROXY, set HF_ENDPOINT to a mirror, or name a folder that has the model",
    )


def _is_network(error: BaseException) -> bool:
    return type(error).__name__ in NO_CONNECTION
