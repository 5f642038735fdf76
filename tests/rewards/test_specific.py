"""The reward that is about the query: by hand, its properties, and that no constant answer does well on it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r4t_ray.rewards import Retrieved, SpecificConfig, SpecificReward, oar_rubric
from r4t_ray.rewards.greedy import greedy_specific
from r4t_ray.rewards.specific import _warn_of_similar_queries, nearness
from r4t_ray.types import Array
from tests.rewards.batches import answers_of, picked, random_answers


def units(values: Array) -> Array:
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True), np.float32)


def reward_of(train_emb_ND: Array, **settings: float) -> SpecificReward:
    """The reward with training queries t0, t1, ..."""
    ids = [f"t{n}" for n in range(len(train_emb_ND))]
    return SpecificReward(config=SpecificConfig(**settings), train_ids=ids, train_emb_ND=train_emb_ND)


def items_as_directions(query_emb_BD: Array, item_emb_BkD: Array) -> Retrieved:
    """Answers whose directions are entries of the pool; an all-zero row is a missing direction."""
    is_present_Bk = np.abs(item_emb_BkD).sum(axis=-1) > 0
    return Retrieved(
        query_emb_BD=query_emb_BD,
        sub_emb_BkD=item_emb_BkD,
        nearest_cos_Bk=np.where(is_present_Bk, 1.0, np.nan).astype(np.float32),
        nearest_emb_BkD=item_emb_BkD,
        hit_rows_BkK=np.where(is_present_Bk, 0, -1)[..., None],
    )


def test_components_by_hand() -> None:
    # k = 2. Direction 0 has the entry e1 = q at distance 0.5: cos = 1 - 0.5^2 / 2. Direction 1 is missing.
    e1, e2 = np.eye(2, dtype=np.float32)
    retrieved = Retrieved(
        query_emb_BD=e1[None],
        sub_emb_BkD=np.array([[e1, 0 * e1]]),
        nearest_cos_Bk=np.array([[0.875, np.nan]], np.float32),
        nearest_emb_BkD=np.array([[e1, 0 * e1]]),
        hit_rows_BkK=np.array([[[0], [-1]]]),
    )
    output = oar_rubric(reward_of(e2[None], tau=0.5, gamma=0.5)).score(answers_of(retrieved))
    near = np.exp(2) / (np.exp(2) + 1)  # cosines 1 to the query and 0 to the negative
    # The kernel diag(1/2, 0) has eigenvalues 1/2 and 0. The missing half makes them 1 and 0: Vendi / k = 1/2.
    expected = {"groundedness": 0.5, "nearness": near / 2, "vendi": 0.5, "specific": 0.5 * near / 2 * 0.5**0.5}
    assert list(output.breakdown) == list(expected)
    for name, value in expected.items():
        assert abs(output.breakdown[name][0] - value) < 1e-6, name
    assert abs(output.total_B[0] - expected["specific"]) < 1e-6


def test_an_answer_without_directions_gets_zero() -> None:
    output = oar_rubric(reward_of(np.eye(2, dtype=np.float32))).score(
        answers_of(items_as_directions(np.eye(2, dtype=np.float32)[:1], np.zeros((1, 3, 2), np.float32)))
    )
    assert output.total_B.tolist() == [0.0]


def test_nearness_stays_finite_at_a_low_temperature() -> None:
    e1, e2 = np.eye(2, dtype=np.float32)
    assert nearness(np.stack([e1, e2, -e2]), e1, e2[None], 1e-4).tolist() == [1.0, 0.0, 1.0]
    assert nearness(np.stack([e1, e2]), e1, np.zeros((0, 2), np.float32), 0.05).tolist() == [1.0, 1.0]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_permuting_directions_changes_nothing(seed: int) -> None:
    answers = random_answers(seed)
    rng = np.random.default_rng(seed)
    reward = reward_of(units(rng.normal(size=(9, 5))))
    order = rng.permutation(3)
    of_query = {"query_emb_BD": answers.retrieved.query_emb_BD}
    moved = {name: values[:, order] for name, values in vars(answers.retrieved).items() if name not in of_query}
    shuffled = picked(answers, range(len(answers.queries)))
    shuffled = type(shuffled)(**vars(shuffled) | {"retrieved": Retrieved(**of_query, **moved)})
    for name, values_B in reward(answers).items():
        assert np.allclose(values_B, reward(shuffled)[name], atol=1e-6), name


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.sampled_from([0.0, 0.1, 1.0]), gamma=st.sampled_from([0.0, 0.5, 2.0]))
def test_a_missing_direction_never_helps(seed: int, spread: float, gamma: float) -> None:
    """Also where directions repeat or nearly repeat (spread 0 and 0.1), and with several directions missing."""
    rng = np.random.default_rng(seed)
    k, dim = 5, 4
    query_emb_D = units(rng.normal(size=dim))
    items_kD = units(query_emb_D + rng.normal(size=dim) + spread * rng.normal(size=(k, dim)))
    steps_SkD = np.repeat(items_kD[None], k + 1, axis=0)
    for step in range(1, k + 1):
        steps_SkD[step:, step - 1] = 0.0
    retrieved = items_as_directions(np.repeat(query_emb_D[None], k + 1, axis=0), steps_SkD)
    parts = reward_of(units(rng.normal(size=(20, dim))), gamma=gamma)(answers_of(retrieved))
    for name in ("specific", "vendi", "nearness"):
        assert (np.diff(parts[name]) <= 1e-6).all(), name


def test_negatives_are_fixed_by_the_id_and_far_from_the_query() -> None:
    rng = np.random.default_rng(0)
    train_emb_ND = units(rng.normal(size=(200, 8)) + 1.0)
    reward = reward_of(train_emb_ND, num_negatives=16, max_cosine=0.5)
    first = reward.negatives("oar:q", train_emb_ND[0])
    assert first.shape == (16, 8)
    assert (first @ train_emb_ND[0]).max() <= 0.5
    assert np.array_equal(first, reward.negatives("oar:q", train_emb_ND[0]))
    assert not np.array_equal(first, reward.negatives("oar:r", train_emb_ND[0]))
    # A training query is not its own negative, even if its embedding is allowed.
    alone = SpecificReward(config=SpecificConfig(max_cosine=1.0), train_ids=["a", "b"], train_emb_ND=train_emb_ND[:2])
    assert np.array_equal(alone.negatives("a", train_emb_ND[5]), train_emb_ND[1:2])


def test_the_least_similar_queries_are_negatives_where_all_are_similar(caplog: pytest.LogCaptureFixture) -> None:
    """Every cosine is above max_cosine: 16 negatives of 200, but at most half of 20. One warning a process."""
    train_emb_ND = units(np.random.default_rng(0).normal(size=(200, 8)) + 3.0)
    reward, few = (reward_of(emb_ND, num_negatives=16, max_cosine=0.3) for emb_ND in (train_emb_ND, train_emb_ND[:20]))
    _warn_of_similar_queries.cache_clear()
    found = [one.negatives("oar:q", train_emb_ND[0]) @ train_emb_ND[0] for one in (reward, few, reward)]
    cos_N = np.sort(train_emb_ND @ train_emb_ND[0])
    assert cos_N[0] > 0.3
    assert np.allclose(np.sort(found[0]), cos_N[:16])
    assert np.allclose(np.sort(found[1]), np.sort(train_emb_ND[:20] @ train_emb_ND[0])[:10])
    assert len([line for line in caplog.messages if "max_cosine = 0.3" in line]) == 1


def test_the_mean_nearness_is_the_mean_over_the_training_queries() -> None:
    item_emb_MD, train_emb_ND, _ = clustered()
    reward = reward_of(train_emb_ND)
    near_NM = [
        reward.nearness(name, z_q_D, item_emb_MD) for name, z_q_D in zip(reward.train_ids, train_emb_ND, strict=True)
    ]
    assert np.abs(reward.mean_nearness(item_emb_MD) - np.mean(near_NM, axis=0)).max() < 1e-6
    assert not reward_of(train_emb_ND[:0]).mean_nearness(item_emb_MD).any()


def test_negatives_do_not_depend_on_the_hash_seed_of_the_process() -> None:
    code = (
        "import numpy as np; from r4t_ray.rewards import SpecificConfig, SpecificReward as S; e = np.eye(64);"
        "print(S(config=SpecificConfig(num_negatives=3), train_ids=list(map(str, range(64))), train_emb_ND=e)"
        ".negatives('oar:q', e[0]).argmax(axis=1).tolist())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(printed) == 1


def clustered(seed: int = 0) -> tuple[Array, Array, Array]:
    """A catalogue of 20 topics: 40 items of each, and 6 training and 2 held-out queries of each, which lie apart."""
    rng = np.random.default_rng(seed)
    num_topics, dim = 20, 32
    topics_TD = units(rng.normal(size=(num_topics, dim)))

    def near_topics(num: int, spread: float) -> Array:
        return units(np.repeat(topics_TD, num, axis=0) + spread * rng.normal(size=(num_topics * num, dim)))

    return near_topics(40, 0.15), near_topics(6, 0.12), near_topics(2, 0.12)


def test_the_best_constant_stays_below_a_quarter_of_the_nearest_ten() -> None:
    item_emb_MD, train_emb_ND, test_emb_BD = clustered()
    reward = reward_of(train_emb_ND)

    def mean_reward(query_emb_BD: Array, ids: list[str], rows_Bk: Array) -> float:
        retrieved = items_as_directions(query_emb_BD, item_emb_MD[rows_Bk])
        return float(reward(answers_of(retrieved, query_ids=ids))["specific"].mean())

    near_NM = np.stack([reward.nearness(f"t{n}", train_emb_ND[n], item_emb_MD) for n in range(len(train_emb_ND))])
    candidates = np.argsort(-near_NM.mean(axis=0))[:200]
    picks = candidates[greedy_specific(item_emb_MD[candidates], near_NM.mean(axis=0)[candidates], 10, 0.5)].tolist()
    test_ids = [f"held-out {b}" for b in range(len(test_emb_BD))]
    constant = mean_reward(test_emb_BD, test_ids, np.array([picks] * len(test_ids)))
    nearest = mean_reward(test_emb_BD, test_ids, np.argsort(-(test_emb_BD @ item_emb_MD.T), axis=1)[:, :10])
    assert constant > 0
    assert constant < nearest / 4


@pytest.mark.parametrize("setting", [{"tau": 0.0}, {"gamma": -1.0}, {"num_negatives": 0}, {"max_cosine": 2.0}])
def test_impossible_constants_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        SpecificConfig(**setting)
