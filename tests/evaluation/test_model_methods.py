"""The methods that ask a model, with scripted models on toy pools."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from r4t_ray.diffusion import SamplerConfig
from r4t_ray.evaluation.answers import Generative
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.methods.best_of_5 import BestOf5
from r4t_ray.evaluation.methods.best_of_5_oracle import BestOf5Oracle
from r4t_ray.evaluation.methods.r4t_diffusion import R4TDiffusion
from r4t_ray.evaluation.methods.r4t_folm import R4TFolm
from r4t_ray.evaluation.methods.zero_shot import ZeroShot
from r4t_ray.evaluation.scores import geometric_scores
from r4t_ray.evaluation.settings import METHOD_NAMES
from r4t_ray.rewards import OARConfig


def test_registry_holds_the_names_of_the_settings():
    assert tuple(METHODS) == METHOD_NAMES
    assert {name for name in METHODS if METHODS[name].name != name} == set()
    wscr_only = {name for name in METHODS if METHODS[name].tasks == ("wscr",)}
    assert wscr_only == {"popular", "popular_items", "nearest_sets", "nearest_sets_items", "best_of_5_oracle"}
    generative = {name for name in METHODS if isinstance(METHODS[name], Generative)}
    assert generative == {"zero_shot", "best_of_5", "best_of_5_oracle", "r4t_folm", "r4t_diffusion", "r4t_student"}


def test_zero_shot_searches_each_sub_query(bench, ask, at, scripted):
    policy = scripted({"soup": [("1", "41")]})
    (answer,) = ZeroShot.build(bench(policy=lambda name: policy)).fan_out([ask("q", "soup")], at(20), seed=7)
    assert answer.hits_kn.tolist() == [[0, 1], [4, 5]]
    assert np.array_equal(answer.directions_kD, at(1, 41))
    assert policy.asked == [{"task": "wscr", "k": 2, "temperature": 0.9, "seed": 7, "queries": ["soup"]}]


def test_short_and_unparsable_fan_outs_keep_their_places(bench, ask, at, scripted):
    policy = scripted({"none": [None], "short": [("30",)], "long": [("0", "50", "20")], "empty": [()]})
    queries = [ask("a", "none"), ask("b", "short"), ask("c", "long"), ask("d", "empty")]
    method = ZeroShot.build(bench(policy=lambda name: policy))
    answers = method.fan_out(queries, at(0, 0, 0, 0), seed=0)
    assert [len(answer.directions_kD) for answer in answers] == [0, 1, 2, 0]
    assert answers[1].hits_kn[0, 0] == 3
    assert answers[2].hits_kn[:, 0].tolist() == [0, 5]  # the third sub-query is over the budget
    index = method.index
    missing, short = (geometric_scores(answers[row], at(0)[0], index, 2, OARConfig()) for row in (0, 1))
    assert set(missing.values()) == {0.0}
    assert short["vendi"] == pytest.approx(0.5)  # one of k = 2 directions
    assert short["alignment"] == pytest.approx(np.cos(np.deg2rad(30)), abs=1e-6)  # of the one emitted
    assert short["groundedness"] == pytest.approx(1.0, abs=1e-3)


def test_a_batch_of_unparsable_outputs_is_scored_not_raised(bench, ask, at, scripted):
    policy = scripted({"none": [None]})
    answers = ZeroShot.build(bench(policy=lambda name: policy)).fan_out([ask("a", "none")] * 2, at(0, 0), seed=0)
    assert [answer.hits_kn.shape for answer in answers] == [(0, 2), (0, 2)]


def test_each_language_model_row_asks_for_its_own_weights(bench, scripted):
    asked = []

    def policy(name):
        asked.append(name)
        return scripted({})

    for kind in (ZeroShot, BestOf5, R4TFolm):
        kind.build(bench(policy=policy))
    assert asked == ["warm_start", "warm_start", "model"]


def test_best_of_5_takes_the_best_oar_reward(bench, ask, at, scripted):
    # All grounded; query at 25: (20, 30) aligns best, (0, 50) is most diverse, (10, 40) lies between.
    samples = [("20", "30"), None, ("0", "50"), ("10", "40"), ("20", "20")]
    policy = scripted({"q": samples})
    for weights, best in [((0.6, 0.0, 0.4), [2, 3]), ((0.6, 0.4, 0.0), [0, 5])]:
        reward = OARConfig(w_ground=weights[0], w_div=weights[1], w_align=weights[2])
        method = BestOf5.build(bench(task="oar", policy=lambda name: policy, reward=reward))
        (answer,) = method.fan_out([ask("q", "q")], at(25), seed=0)
        assert answer.hits_kn[:, 0].tolist() == best


def test_on_wscr_the_oracle_sees_the_reference_and_best_of_5_the_nearest_training_sets(bench, ask, at, scripted):
    policy = scripted({"q": [("0", "1"), None, ("30", "50"), ("50", "49"), ("20", "0")]})
    # The query at 0: the training query at 10 holds items 2 and 0 (cosine 0.98), the one at 80 items 4 and 5 (0.17).
    training = {"train_emb_BD": at(10, 80), "train_references": [np.array([2, 0]), np.array([4, 5])]}
    parts = bench(policy=lambda name: policy, **training)
    query = ask("q", "q", ("item5", "item2", "item3"))
    (oracle,), (answer,) = (kind.build(parts).fan_out([query], at(0), seed=0) for kind in (BestOf5Oracle, BestOf5))
    assert oracle.hits_kn[:, 0].tolist() == [3, 5]
    assert {3, 5} <= oracle.retrieved
    assert answer.hits_kn[:, 0].tolist() == [2, 0]
    (blind,) = BestOf5.build(parts).fan_out([ask("q", "q", ("item4",))], at(0), seed=0)
    assert blind.hits_kn.tolist() == answer.hits_kn.tolist()


def test_best_of_5_keeps_queries_apart(bench, ask, at, scripted):
    policy = scripted({"a": [None] * 4 + [("0",)], "b": [("50",)] + [None] * 4})
    method = BestOf5Oracle.build(bench(policy=lambda name: policy))
    queries = [ask("1", "a", ("item0",)), ask("2", "b", ("item5",))]
    first, second = method.fan_out(queries, at(0, 0), seed=0)
    assert (first.hits_kn[0, 0], second.hits_kn[0, 0]) == (0, 5)


class FixedRetriever:
    """Emits the same rows for every query and notes how it was asked."""

    def __init__(self, z_LD):
        self.z_LD = torch.as_tensor(z_LD)
        self.asked = []
        self.sampler = SamplerConfig(solver="top_anchors")

    def generate(self, z_q_BD, *, num_steps=None, solver=None, guidance=None, generator=None):
        self.asked.append((num_steps, solver, guidance, generator.initial_seed()))
        return self.z_LD.expand(len(z_q_BD), *self.z_LD.shape)


def test_diffusion_keeps_k_rows_that_lead_to_different_items(bench, ask, at):
    retriever = FixedRetriever(at(1, 2, 42))  # two rows beside item 0, of which the first is closer; one beside item 4
    parts = bench(retriever=lambda name: retriever, solver="heun", num_steps=8, guidance=0.5)
    first, second = R4TDiffusion.build(parts).fan_out([ask("a", ""), ask("b", "")], at(0, 10), seed=3)
    for answer in (first, second):
        assert answer.hits_kn.tolist() == [[0, 1], [4, 5]]
        assert np.allclose(answer.directions_kD, at(1, 42))
    assert retriever.asked == [(8, "heun", 0.5, 3)]
    scores = geometric_scores(first, at(0)[0], parts.index, 2, OARConfig())
    distances = [2 * np.sin(np.deg2rad(angle / 2)) for angle in (1, 2)]
    assert scores["groundedness"] == pytest.approx(1 - np.mean(distances), abs=1e-4)  # of the generated rows


def test_rows_that_come_ranked_stay_in_their_order(bench, ask, at):
    retriever = FixedRetriever(at(42, 2, 1, 11))  # the third is closer to item 0 than the second, and comes later
    answers = [
        R4TDiffusion.build(bench(retriever=lambda name: retriever, solver=solver)).fan_out(
            [ask("a", "")], at(0), seed=3
        )[0]
        for solver in (None, "top_anchors", "heun")
    ]
    own, top_anchors, heun = (answer.directions_kD for answer in answers)
    assert np.allclose(own, at(42, 2))
    assert np.allclose(top_anchors, at(42, 2))
    assert np.allclose(heun, at(1, 42))
