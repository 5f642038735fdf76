"""The methods with a model, with scripted models on toy pools."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from r4t_ray.diffusion import SamplerConfig
from r4t_ray.evaluation import EvaluationConfig
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.methods.best_of_5 import BEST_OF_5
from r4t_ray.evaluation.methods.best_of_5_oracle import BEST_OF_5_ORACLE
from r4t_ray.evaluation.methods.r4t_diffusion import R4T_DIFFUSION
from r4t_ray.evaluation.methods.r4t_diffusion_items import R4T_DIFFUSION_ITEMS
from r4t_ray.evaluation.methods.r4t_folm import R4T_FOLM
from r4t_ray.evaluation.methods.r4t_student import R4T_STUDENT
from r4t_ray.evaluation.methods.zero_shot import ZERO_SHOT
from r4t_ray.evaluation.scores import geometric_scores
from r4t_ray.rewards import OARConfig

NAMES = (
    "constant",
    "no_fanout",
    "no_fanout_items",
    "mmr",
    "mmr_items",
    "dpp",
    "greedy_reward",
    "popular",
    "popular_items",
    "nearest_sets",
    "nearest_sets_items",
    "soft_sets",
    "soft_sets_items",
    "ridge_items",
    "ease_items",
    "zero_shot",
    "zero_shot_items",
    "best_of_5",
    "best_of_5_items",
    "best_of_5_oracle",
    "r4t_folm",
    "r4t_folm_items",
    "r4t_diffusion",
    "r4t_diffusion_items",
    "r4t_student",
)


def test_registry_holds_the_names_of_the_tables_in_their_order():
    assert tuple(METHODS) == EvaluationConfig().methods == NAMES
    assert {name for name in METHODS if METHODS[name].name != name} == set()
    wscr_only = {name for name in METHODS if METHODS[name].tasks == ("wscr",)}
    of_sets = {"popular", "nearest_sets", "soft_sets"}
    lists = {f"{name}_items" for name in ("popular", "nearest_sets", "ridge", "ease")}
    assert wscr_only == of_sets | lists | {"best_of_5_oracle"}
    assert {name for name in METHODS if METHODS[name].needs_references} == {"soft_sets_items"}
    assert {name for name in METHODS if METHODS[name].format == "items"} == {n for n in NAMES if n.endswith("_items")}
    with_model = {name: METHODS[name].stage for name in METHODS if METHODS[name].model}
    fan_outs = ("zero_shot", "best_of_5", "r4t_folm")
    folm = dict.fromkeys((*fan_outs, *(f"{name}_items" for name in fan_outs), "best_of_5_oracle"), "folm")
    assert with_model == folm | dict.fromkeys(("r4t_diffusion", "r4t_diffusion_items", "r4t_student"), "diffusion")
    assert {name for name in METHODS if METHODS[name].generate} == {
        name for name in with_model if not name.endswith(("_oracle", "_items"))
    }


def test_zero_shot_searches_each_sub_query(bench, toy_query, at, scripted):
    policy = scripted({"soup": [("1", "41")]})
    (answer,) = ZERO_SHOT.answer(bench(policy=lambda name: policy), [toy_query("q", "soup")], at(20), seed=7)
    assert answer.hits_kn.tolist() == [[0, 1], [4, 5]]
    assert np.array_equal(answer.directions_kD, at(1, 41))
    assert policy.asked == [{"task": "wscr", "k": 2, "temperature": 0.9, "seed": 7, "queries": ["soup"]}]


def test_short_and_unparsable_fan_outs_stay_with_their_queries(bench, toy_query, at, scripted):
    policy = scripted({"none": [None], "short": [("30",)], "long": [("0", "50", "20")], "empty": [()]})
    queries = [toy_query("a", "none"), toy_query("b", "short"), toy_query("c", "long"), toy_query("d", "empty")]
    parts = bench(policy=lambda name: policy)
    answers = ZERO_SHOT.answer(parts, queries, at(0, 0, 0, 0), seed=0)
    assert [len(answer.directions_kD) for answer in answers] == [0, 1, 2, 0]
    assert answers[1].hits_kn[0, 0] == 3
    assert answers[2].hits_kn[:, 0].tolist() == [0, 5]  # the third sub-query is over the budget
    index = parts.index
    missing, short = (geometric_scores(answers[row], at(0)[0], index, 2, OARConfig()) for row in (0, 1))
    assert set(missing.values()) == {0.0}
    assert short["vendi"] == pytest.approx(0.5)  # one of k = 2 directions
    assert short["alignment"] == pytest.approx(np.cos(np.deg2rad(30)), abs=1e-6)  # mean over the one emitted direction
    assert short["groundedness"] == pytest.approx(1.0, abs=1e-3)


def test_a_batch_of_unparsable_outputs_is_scored_without_an_error(bench, toy_query, at, scripted):
    policy = scripted({"none": [None]})
    answers = ZERO_SHOT.answer(bench(policy=lambda name: policy), [toy_query("a", "none")] * 2, at(0, 0), seed=0)
    assert [answer.hits_kn.shape for answer in answers] == [(0, 2), (0, 2)]


def test_each_language_model_method_loads_its_weights(bench, toy_query, at, scripted):
    asked = []

    def policy(name):
        asked.append(name)
        return scripted({"q": [("0",)] * 5})

    for method in (ZERO_SHOT, BEST_OF_5, R4T_FOLM):
        method.answer(bench(policy=policy), [toy_query("q", "q")], at(0), seed=0)
        assert method.model == asked[-1]
    assert asked == ["folm/<task>/warm_start", "folm/<task>/warm_start", "folm/<task>/model"]


def test_best_of_5_takes_the_best_oar_reward(bench, toy_query, at, scripted):
    # All samples are grounded. The query is at 25 degrees: (20, 30) is the best aligned, (0, 50) the most diverse.
    samples = [("20", "30"), None, ("0", "50"), ("10", "40"), ("20", "20")]
    policy = scripted({"q": samples})
    for weights, best in [((0.6, 0.0, 0.4), [2, 3]), ((0.6, 0.4, 0.0), [0, 5])]:
        reward = OARConfig(w_ground=weights[0], w_div=weights[1], w_align=weights[2])
        parts = bench(task="oar", policy=lambda name: policy, reward=reward)
        (answer,) = BEST_OF_5.answer(parts, [toy_query("q", "q")], at(25), seed=0)
        assert answer.hits_kn[:, 0].tolist() == best


def test_on_wscr_the_oracle_uses_the_reference_and_best_of_5_uses_training_sets(bench, toy_query, at, scripted):
    policy = scripted({"q": [("20", "0"), None, ("30", "50"), ("50", "49"), ("0", "1")]})
    # The query is at 0 degrees. The training query at 10 (cosine 0.98) has items 2 and 0, the one at 80 (cosine 0.17)
    # has items 4 and 5.
    training = {"train_emb_BD": at(10, 80), "train_references": [np.array([2, 0]), np.array([4, 5])]}
    parts = bench(policy=lambda name: policy, **training)
    query = toy_query("q", "q", ("item5", "item2", "item3"))
    (oracle,), (answer,) = (method.answer(parts, [query], at(0), seed=0) for method in (BEST_OF_5_ORACLE, BEST_OF_5))
    assert oracle.hits_kn[:, 0].tolist() == [3, 5]
    assert {3, 5} <= oracle.retrieved
    assert answer.hits_kn[:, 0].tolist() == [2, 0]
    (blind,) = BEST_OF_5.answer(parts, [toy_query("q", "q", ("item4",))], at(0), seed=0)
    assert blind.hits_kn.tolist() == answer.hits_kn.tolist()


def test_best_of_5_selects_for_each_query_separately(bench, toy_query, at, scripted):
    policy = scripted({"a": [None] * 4 + [("0",)], "b": [("50",)] + [None] * 4})
    queries = [toy_query("1", "a", ("item0",)), toy_query("2", "b", ("item5",))]
    first, second = BEST_OF_5_ORACLE.answer(bench(policy=lambda name: policy), queries, at(0, 0), seed=0)
    assert (first.hits_kn[0, 0], second.hits_kn[0, 0]) == (0, 5)


class FixedRetriever:
    """Emits the same rows for every query and records its arguments."""

    def __init__(self, z_LD):
        self.z_LD = torch.as_tensor(z_LD)
        self.asked = []
        self.sampler = SamplerConfig(solver="top_anchors")

    def generate(self, z_q_BD, *, num_steps=None, solver=None, guidance=None, generator=None, num_rows=0):
        self.asked.append((num_steps, solver, guidance, generator.initial_seed(), num_rows))
        return self.z_LD.expand(len(z_q_BD), *self.z_LD.shape)


def test_diffusion_keeps_k_rows_with_different_nearest_items(bench, toy_query, at):
    retriever = FixedRetriever(at(1, 2, 42))  # two rows near item 0, the first closer; one near item 4
    parts = bench(retriever=lambda name: retriever, solver="heun", num_steps=8, guidance=0.5)
    first, second = R4T_DIFFUSION.answer(parts, [toy_query("a", ""), toy_query("b", "")], at(0, 10), seed=3)
    for answer in (first, second):
        assert answer.hits_kn.tolist() == [[0, 1], [4, 5]]
        assert np.allclose(answer.directions_kD, at(1, 42))
    assert retriever.asked == [(8, "heun", 0.5, 3, parts.k)]
    scores = geometric_scores(first, at(0)[0], parts.index, 2, OARConfig())
    distances = [2 * np.sin(np.deg2rad(angle / 2)) for angle in (1, 2)]
    assert scores["groundedness"] == pytest.approx(1 - np.mean(distances), abs=1e-4)  # distances of the generated rows


def test_diffusion_items_rank_the_items_of_both_directions_by_their_best_cosine(bench, toy_query, at, pool):
    # Distances in degrees from the directions: item 4 1, item 0 2, item 1 8, item 5 9, item 3 11.
    retriever = FixedRetriever(at(2, 41))
    parts = bench(retriever=lambda name: retriever)
    answer, _ = R4T_DIFFUSION_ITEMS.answer(parts, [toy_query("a", ""), toy_query("b", "")], at(0, 10), seed=3)
    assert answer.hits_kn.tolist() == [[4, 1], [0, 5]]
    assert np.array_equal(answer.directions_kD, at(40, 0))
    parts = bench(retriever=lambda name: retriever, index=pool(0, 40, 44), n=3)
    (short,) = R4T_DIFFUSION_ITEMS.answer(parts, [toy_query("a", "")], at(0), seed=3)
    assert short.hits_kn.tolist() == [[1, 2, -1], [0, -1, -1]]


def test_ranked_rows_keep_their_order(bench, toy_query, at):
    retriever = FixedRetriever(at(42, 2, 1, 11))  # the third is closer to item 0 than the second
    answers = [
        R4T_DIFFUSION.answer(
            bench(retriever=lambda name: retriever, solver=solver), [toy_query("a", "")], at(0), seed=3
        )[0]
        for solver in (None, "top_anchors", "heun")
    ]
    own, top_anchors, heun = (answer.directions_kD for answer in answers)
    assert np.allclose(own, at(42, 2))
    assert np.allclose(top_anchors, at(42, 2))
    assert np.allclose(heun, at(1, 42))


def test_the_student_ignores_the_solver_settings_of_the_teacher(bench, toy_query, at):
    retriever, folders = FixedRetriever(at(42, 2, 1)), []
    parts = bench(retriever=lambda name: folders.append(name) or retriever, solver="heun", num_steps=8, guidance=0.5)
    (answer,) = R4T_STUDENT.answer(parts, [toy_query("a", "")], at(0), seed=3)
    assert np.allclose(answer.directions_kD, at(42, 2))  # its rows are ranked
    assert retriever.asked == [(None, None, None, 3, parts.k)]
    assert set(folders) == {"diffusion/<task>/student"}
