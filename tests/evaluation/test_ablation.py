"""`r4t ablate` on 48 dishes: one model per variant, one report, and no second training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.evaluation.ablation import ablate
from r4t_ray.evaluation.settings import AblationConfig, EvaluationConfig
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.rewards import OARConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VARIANTS = {
    "groundedness": OARConfig(w_ground=1.0, w_div=0.0, w_align=0.0),
    "all": OARConfig(w_ground=0.6, w_div=0.2, w_align=0.2),
}
FOLM = FolmConfig.model_validate(
    {
        "k": 5,
        "num_hits": 2,
        "max_completion_tokens": 64,
        "engine": {"type": "transformers"},
        "warm_start": {"num_passes": {"oar": 0}, "num_recombined": {"oar": 0, "wscr": 0}},
        "grpo": {
            "oar": {
                "num_steps": 2,
                "lr_scheduler": "constant_with_warmup",
                "queries_per_step": 2,
                "num_generations": 4,
                "micro_batch_size": 8,
                "learning_rate": 1e-3,
                "bf16": False,
                "max_logp_gap": 1e-3,
            }
        },
    }
)


def test_variants_are_trained_on_their_own_reward_and_compared(
    ray_session: str, indexed_workspace: Workspace, tmp_path: Path
) -> None:
    shutil.copytree(indexed_workspace.root, tmp_path / "workspace")
    workspace = Workspace(tmp_path / "workspace")
    config = AblationConfig(variants=VARIANTS, num_shown=1)
    evaluation = EvaluationConfig(k=5, n=2, num_bootstrap=10)
    report = ablate(config, FOLM, evaluation, workspace, seed=0)
    folder = workspace.root / "ablation"
    assert (folder / "curves.png").stat().st_size > 1000
    rows = json.loads((folder / "metrics.json").read_text())
    assert {row["variant"] for row in rows} == set(VARIANTS)
    before = {(row["variant"], row["measure"]): row["before"] for row in rows}
    # All variants start from one warm start. Only oar_reward differs, because it uses the weights of the variant.
    assert before["all", "groundedness"] == before["groundedness", "groundedness"]
    assert before["groundedness", "oar_reward"] == pytest.approx(before["groundedness", "groundedness"])
    assert before["all", "oar_reward"] != pytest.approx(before["groundedness", "oar_reward"])
    text = report.read_text()
    assert "| groundedness | 1 : 0 : 0 |" in text
    assert "### all" in text
    trained = [folder / name / "folm" / "manifest.json" for name in VARIANTS]
    made = [file.stat().st_mtime_ns for file in trained]
    assert ablate(config, FOLM, evaluation, workspace, seed=0).read_text() == text
    assert [file.stat().st_mtime_ns for file in trained] == made
