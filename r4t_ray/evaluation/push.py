"""Push a workspace's diffusion retriever with its model card to the Hugging Face hub, or write both to a folder."""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # lazy: httpx or httpx2, as the hub's version has it

from r4t_ray.artifacts import Workspace
from r4t_ray.diffusion import STUDENT, DiffusionRetriever
from r4t_ray.errors import ConfigError
from r4t_ray.evaluation.model_card import workspace_facts
from r4t_ray.types import TASKS, Task

CARD = "README.md"


def push(
    workspace: Path, repo_id: str, task: Task, *, student: bool = False, private: bool = False, out: Path | None = None
) -> str:
    """Push model.safetensors, config.json and README.md in one commit, or write them to ``out``.

    huggingface_hub finds the token: HF_TOKEN, or the token that `hf auth login` stored.

    Args:
        workspace: Folder of the experiment's artifacts.
        repo_id: OWNER/NAME on the hub. It is created if it does not exist.
        task: The task whose retriever is pushed.
        student: Push the one-step student of the task instead.
        private: Make the repository private.
        out: A new or empty folder. The files are written there and nothing is pushed.

    Returns:
        The address of the commit; with ``out``, the text of the card.

    Raises:
        ArtifactError: A stage (or the report, if there is one) is missing, changed, or made from other inputs.
        ConfigError: The task has no retriever, there is no student, ``out`` is not empty, or the hub refuses.
    """
    opened = Workspace(workspace)
    folder = opened.artifact("diffusion").path / task
    if not folder.is_dir():
        trained = [name for name in TASKS if (folder.parent / name).is_dir()]
        raise ConfigError("--task", task, f"one of {', '.join(trained)}, which have a retriever", "choose one of these")
    if student:
        folder /= STUDENT
        if not folder.is_dir():
            raise ConfigError(
                "--student", f"no {folder}", "a task with a student", f"set diffusion.student.{task} and train again"
            )
    retriever = DiffusionRetriever.from_pretrained(folder)
    facts = _facts(opened, repo_id, task, student)
    if out is not None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(
                "--out", f"{out}, which is a file or has files", "a new or empty folder", "name another folder"
            )
        retriever.save_pretrained(out, model_card_kwargs=facts)
        return (out / CARD).read_text(encoding="utf-8")
    try:
        return str(retriever.push_to_hub(repo_id, private=private or None, model_card_kwargs=facts))
    except (ConnectionError, HFValidationError, httpx.HTTPError) as error:
        raise ConfigError(
            f"push to '{repo_id}'",
            str(error).strip().splitlines()[0][:300] or type(error).__name__,
            "a hub within reach, and OWNER/NAME that your token may write",
            "run `hf auth login` or set HF_TOKEN; `--out DIR` writes the files without a hub",
        ) from error


def _facts(workspace: Workspace, repo_id: str, task: Task, student: bool) -> dict[str, str]:
    stages = ["catalogue", "encoder", "pairs", "diffusion"]
    rows = []
    if (workspace.root / "evaluation").is_dir():
        stages.append("evaluation")
        rows = json.loads(workspace.artifact("evaluation").file("metrics.json").read_text(encoding="utf-8"))
    manifests = {stage: workspace.artifact(stage).manifest for stage in stages}
    return workspace_facts(task, repo_id, manifests, rows, student=student)
