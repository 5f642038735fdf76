"""The methods without a model, on toy pools with answers computed by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from r4t_ray.evaluation.bench import Fits
from r4t_ray.evaluation.methods.constant import CONSTANT
from r4t_ray.evaluation.methods.dpp import DPP, dpp_picks
from r4t_ray.evaluation.methods.greedy_reward import GREEDY_REWARD, greedy_picks
from r4t_ray.evaluation.methods.mmr import MMR
from r4t_ray.evaluation.methods.mmr_items import MMR_ITEMS
from r4t_ray.evaluation.methods.nearest_sets import NEAREST_SETS, rank_by_neighbours
from r4t_ray.evaluation.methods.nearest_sets_items import NEAREST_SETS_ITEMS
from r4t_ray.evaluation.methods.no_fanout import NO_FANOUT
from r4t_ray.evaluation.methods.no_fanout_items import NO_FANOUT_ITEMS
from r4t_ray.evaluation.methods.popular import POPULAR
from r4t_ray.evaluation.methods.popular_items import POPULAR_ITEMS
from r4t_ray.evaluation.methods.soft_sets import members_of
from r4t_ray.evaluation.methods.tuning import tuned
from r4t_ray.evaluation.scores import geometric_scores
from r4t_ray.retrieval.similarity import mmr_picks
from r4t_ray.rewards import OARConfig


def random_units(seed, num, dim):
    emb = np.random.default_rng(seed).normal(size=(num, dim))
    return (emb / np.linalg.norm(emb, axis=1, keepdims=True)).astype(np.float32)


def test_no_fanout_distributes_the_nearest_items_round_robin(bench, toy_query, at):
    (answer,) = NO_FANOUT.answer(bench(), [toy_query("q", "")], at(-5), seed=0)
    assert answer.hits_kn.tolist() == [[0, 2], [1, 3]]
    assert np.array_equal(answer.directions_kD, at(-5, -5))
    scores = geometric_scores(answer, at(-5)[0], bench().index, 2, OARConfig())
    assert scores["groundedness"] == pytest.approx(1 - 2 * np.sin(np.deg2rad(2.5)), abs=1e-6)
    assert scores["alignment"] == pytest.approx(1.0)


def test_no_fanout_pads_when_the_pool_is_smaller_than_the_budget(bench, toy_query, at, pool):
    (answer,) = NO_FANOUT.answer(bench(index=pool(0, 10, 20)), [toy_query("q", "")], at(0), seed=0)
    assert answer.hits_kn.tolist() == [[0, 2], [1, -1]]
    assert answer.retrieved == {0, 1, 2}


def test_mmr_by_hand(at):
    # The query is at 20 degrees. The first pick is the most relevant item (10). With lambda = 1/2 the next pick has the
    # largest (cosine to the query - largest cosine to a pick) / 2:
    # 0: (cos20 - cos10)/2 = -0.023; 50: (cos30 - cos40)/2 = +0.050; -30: (cos50 - cos40)/2 = -0.062.
    assert mmr_picks(at(-30, 0, 10, 50), at(20)[0], 4, 0.5).tolist() == [2, 3, 1, 0]


@pytest.mark.parametrize("mmr_lambda", [0.0, 0.3, 0.7, 1.0])
def test_mmr_agrees_with_a_direct_implementation(mmr_lambda):
    emb, query = random_units(1, 12, 4), random_units(2, 1, 4)[0]
    chosen: list[int] = []
    for _ in range(6):
        left = [row for row in range(12) if row not in chosen]
        chosen.append(
            max(
                left,
                key=lambda row: (
                    mmr_lambda * float(emb[row] @ query)
                    - (1 - mmr_lambda) * max((float(emb[row] @ emb[other]) for other in chosen), default=0.0)
                ),
            )
        )
    assert mmr_picks(emb, query, 6, mmr_lambda).tolist() == chosen


def test_mmr_at_lambda_one_is_no_fanout_and_below_it_is_more_diverse(bench, toy_query, at, pool):
    index = pool(0, 1, 2, 60, 90, 120)
    queries, z_q = [toy_query("q", "")], at(3)

    def answer(method, mmr_lambda):
        fits = Fits(tuned={"mmr": mmr_lambda, "mmr_items": mmr_lambda})
        return method.answer(bench(index=index, fits=fits), queries, z_q, seed=0)[0]

    plain = NO_FANOUT_ITEMS.answer(bench(index=index), queries, z_q, seed=0)[0]
    same, diverse = answer(MMR_ITEMS, 1.0), answer(MMR_ITEMS, 0.3)
    assert np.array_equal(plain.hits_kn, same.hits_kn)
    assert np.array_equal(plain.directions_kD, same.directions_kD)
    vendi = [geometric_scores(answer, z_q[0], index, 2, OARConfig())["vendi"] for answer in (plain, diverse)]
    assert vendi[1] > vendi[0] + 0.2
    assert np.array_equal(diverse.directions_kD, index.emb_MD[diverse.hits_kn[:, 0]])
    assert answer(MMR, 0.3).hits_kn[:, 0].tolist() == diverse.hits_kn[:, 0].tolist() == [2, 5]
    assert answer(MMR, 0.3).hits_kn.tolist() == [[2, 1], [5, 4]]  # the n nearest items of both picks


@pytest.mark.parametrize("method", [MMR_ITEMS, DPP])
def test_mmr_and_dpp_pick_only_candidates(bench, toy_query, at, pool, method):
    parts = bench(index=pool(0, 1, 2, 60, 90, 120), num_candidates=3)
    (answer,) = method.answer(parts, [toy_query("q", "")], at(0), seed=0)
    assert set(answer.top_rows.tolist()) <= {0, 1, 2}


def test_no_fanout_items_is_the_ranking_with_the_first_items_as_directions(bench, toy_query, at, pool):
    (answer,) = NO_FANOUT_ITEMS.answer(bench(index=pool(0, 10, 20)), [toy_query("q", "")], at(-5), seed=0)
    assert answer.hits_kn.tolist() == [[0, 2], [1, -1]]
    assert np.array_equal(answer.directions_kD, at(0, 10))


def test_dpp_by_hand():
    # Quality 1 for all (strength 0). Two equal items and an orthogonal one: det(I + L) is 3 for the equal pair and 4
    # for the orthogonal pair.
    candidates = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    query = np.array([1, 0], dtype=np.float32)
    assert dpp_picks(candidates, query, 3, 0.0).tolist() == [0, 2, 1]
    # With strength s the orthogonal item has L_ii = exp(-s). The equal item raises the determinant by 3/2, the
    # orthogonal one by 1 + exp(-s). They are even at s = ln 2.
    assert dpp_picks(candidates, query, 3, 0.68).tolist() == [0, 2, 1]
    assert dpp_picks(candidates, query, 3, 0.70).tolist() == [0, 1, 2]
    assert dpp_picks(candidates, query, 9, 0.0).tolist() == [0, 2, 1]
    assert dpp_picks(candidates[:0], query, 2, 0.0).tolist() == []


@pytest.mark.parametrize("strength", [0.0, 2.0, 8.0])
def test_each_dpp_pick_has_the_largest_determinant(strength):
    emb, query = random_units(3, 12, 4).astype(np.float64), random_units(4, 1, 4)[0].astype(np.float64)
    cosines = emb @ query
    quality = np.exp(strength / 2 * (cosines - cosines.max()))
    kernel = np.eye(12) + quality[:, None] * (emb @ emb.T) * quality
    chosen: list[int] = []
    for _ in range(7):
        left = [row for row in range(12) if row not in chosen]
        chosen.append(max(left, key=lambda row: np.linalg.det(kernel[np.ix_([*chosen, row], [*chosen, row])])))
    assert dpp_picks(emb, query, 7, strength).tolist() == chosen


def test_each_direction_of_dpp_retrieves_its_nearest_items(bench, toy_query, at, pool):
    parts = bench(index=pool(0, 1, 2, 60, 90, 130), fits=Fits(tuned={"dpp": 0.1}))
    (answer,) = DPP.answer(parts, [toy_query("q", "")], at(-5), seed=0)
    assert answer.hits_kn.tolist() == [[0, 1], [4, 3]]  # 0 and 90 degrees
    assert np.array_equal(answer.directions_kD, at(0, 90))


def test_a_setting_is_tuned_once_on_validation_queries_by_the_main_measure(bench, toy_query, at):
    # The reference of both validation queries is item 5. A setting is the angle that the answer searches.
    parts = bench(val_queries=[toy_query("v", "", ("item5",))] * 2, val_emb_BD=at(0, 10))
    tried = []

    def answers_at(bench, emb_BD, angle):
        tried.append(angle)
        return NO_FANOUT_ITEMS.answer(bench, [None] * len(emb_BD), at(*[angle] * len(emb_BD)), seed=0)

    assert tuned(parts, "some", (0.0, 40.0, 50.0, 10.0), answers_at) == 40.0  # the first of two equal values
    assert tuned(parts, "some", (0.0, 40.0, 50.0, 10.0), answers_at) == parts.fits.tuned["some"] == 40.0
    assert tried == [0.0, 40.0, 50.0, 10.0]
    assert tuned(bench(), "some", (0.0, 40.0, 50.0), answers_at) == 40.0  # the middle, without validation queries


def test_settings_of_oar_are_tuned_by_the_relevant_sets_of_a_log(bench, toy_query, at):
    """The query lies at 0 degrees, and its one relevant entry is item 5, far from it. The reward would keep 0."""
    parts = bench(task="oar", val_queries=[toy_query("v", "", ("item5",)), toy_query("w", "")], val_emb_BD=at(0, 0))

    def answers_at(bench, emb_BD, angle):
        return NO_FANOUT_ITEMS.answer(bench, [None] * len(emb_BD), at(*[angle] * len(emb_BD)), seed=0)

    assert tuned(parts, "some", (0.0, 50.0, 180.0), answers_at) == 50.0


def test_each_pick_of_the_constant_of_oar_has_the_best_mean_reward(bench, toy_query, at, pool):
    index, z_q = pool(0, 40, 80, 120, 160), at(0, 10, 80, 85)
    config = OARConfig(w_ground=0.2, w_div=0.3, w_align=0.5)
    parts = bench(task="oar", index=index, train_emb_BD=z_q, reward=config)
    answer, other = CONSTANT.answer(parts, [toy_query("a", ""), toy_query("b", "")], at(0, 160), seed=0)
    assert answer is other
    rows = answer.hits_kn[:, 0].tolist()

    def mean_reward(rows):
        return np.mean([reward_of(index.emb_MD[list(rows)], query, 2, config) for query in z_q])

    # Greedy: the first pick is the best single item (both rewards divide by k), the second the best beside it.
    assert rows[0] == max(range(5), key=lambda row: mean_reward([row]))
    assert rows[1] == max(set(range(5)) - {rows[0]}, key=lambda row: mean_reward([rows[0], row]))


def test_the_constant_of_wscr_covers_the_training_references(bench, toy_query, at, pool):
    # Each reference has a weight of 1, shared by its items: item 5 has 3, item 4 has 1/2, item 0 has 5/4, item 1 has
    # 3/4, items 2 and 3 have 1/4. Item 5 finds 5 and 4, items 0 and 1 find each other, item 3 finds 3 and 4.
    references = [np.array(rows) for rows in ([5], [5], [5], [4, 1], [0], [1, 3, 2, 0])]
    parts = bench(index=pool(0, 9, 20, 33, 40, 60), train_references=references)
    (answer,) = CONSTANT.answer(parts, [toy_query("q", "")], at(0), seed=0)
    assert answer.hits_kn.tolist() == [[5, 4], [0, 1]]


def test_greedy_by_hand():
    candidates = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0.6, 0.8, 0]], dtype=np.float32)
    query = np.array([1, 0, 0], dtype=np.float32)
    # Alignment alone: the two equal items first, then the one at cosine 0.6.
    assert greedy_picks(candidates, query, 3, OARConfig(w_ground=0, w_div=0, w_align=1)).tolist() == [0, 1, 3]
    # Gains of a second item with w_div = 0.5 and w_align = 0.2. Orthogonal: 0.5 * (2 - 1)/2 = 0.25, no alignment.
    # Equal: no diversity, 0.2 * 1/2 = 0.1. Cosine 0.6 (eigenvalues 0.8, 0.2; Vendi 1.65): 0.5 * 0.65/2 + 0.06 = 0.22.
    assert greedy_picks(candidates, query, 2, OARConfig(w_ground=0.6, w_div=0.5, w_align=0.2)).tolist() == [0, 2]


@pytest.mark.parametrize(("w_div", "second"), [(0.3, 2), (0.1, 1)])
def test_greedy_divides_every_component_by_the_final_k(w_div, second):
    # k = 10, first pick e1. The equal item adds 0.2 * 1/10 (alignment). The orthogonal one adds w_div * (2 - 1)/10.
    candidates = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    picks = greedy_picks(candidates, candidates[0], 10, OARConfig(w_ground=0.6, w_div=w_div, w_align=0.2))
    assert picks[1] == second


def reward_of(emb, query, k, config):
    eigenvalues = np.linalg.eigvalsh(emb.astype(np.float64) @ emb.T.astype(np.float64) / len(emb)).clip(1e-300)
    vendi = np.exp(-(eigenvalues * np.log(eigenvalues)).sum())
    return (config.w_ground * len(emb) + config.w_align * float((emb @ query).sum()) + config.w_div * vendi) / k


@pytest.mark.parametrize("seed", range(4))
def test_greedy_takes_the_best_step_and_reaches_95_percent_of_the_best_set(seed):
    emb, query, config, k = random_units(seed, 9, 5), random_units(seed + 100, 1, 5)[0], OARConfig(w_div=0.6), 3
    picks = greedy_picks(emb, query, k, config).tolist()
    for step in range(k):
        gains = {
            row: reward_of(emb[[*picks[:step], row]], query, k, config) for row in range(9) if row not in picks[:step]
        }
        assert picks[step] == max(gains, key=gains.get)
    best = max(reward_of(emb[list(rows)], query, k, config) for rows in itertools.combinations(range(9), k))
    reached = reward_of(emb[picks], query, k, config)
    assert 0.95 * best <= reached <= best + 1e-6


def test_greedy_beats_no_fanout_on_the_reward_and_maximises_the_measured_reward(bench, toy_query, flat):
    emb, query = random_units(5, 60, 6), random_units(6, 1, 6)
    parts = bench(index=flat(emb), k=4, n=3)
    greedy, plain = (kind.answer(parts, [toy_query("q", "")], query, seed=0)[0] for kind in (GREEDY_REWARD, NO_FANOUT))
    scores = [geometric_scores(answer, query[0], parts.index, 4, OARConfig()) for answer in (greedy, plain)]
    assert scores[0]["oar_reward"] > scores[1]["oar_reward"]
    assert scores[0]["groundedness"] == pytest.approx(1.0, abs=1e-3)
    assert scores[0]["oar_reward"] == pytest.approx(reward_of(greedy.directions_kD, query[0], 4, OARConfig()), abs=1e-3)
    assert greedy.hits_kn.shape == (4, 3)
    assert np.array_equal(emb[greedy.hits_kn[:, 0]], greedy.directions_kD)


def test_popular_answers_every_query_with_the_most_frequent_items(bench, toy_query, at):
    parts = bench(train_references=[np.array([0, 3]), np.array([3, 2]), np.array([2, 3, 5])])
    queries, z_q = [toy_query("a", ""), toy_query("b", "")], at(0, 50)
    # Counts: item 3 three, item 2 two, items 0 and 5 one each (ordered by row). POPULAR searches from items 3 and 2.
    for answer in POPULAR.answer(parts, queries, z_q, seed=0):
        assert answer.hits_kn.tolist() == [[3, 2], [2, 1]]
        assert np.array_equal(answer.directions_kD, at(30, 20))
    for answer in POPULAR_ITEMS.answer(parts, queries, z_q, seed=0):
        assert answer.hits_kn.tolist() == [[3, 0], [2, 5]]
        assert np.array_equal(answer.directions_kD, at(30, 20))


def test_popular_leaves_out_items_of_no_training_set(bench, toy_query, at):
    parts = bench(train_references=[np.array([5])])
    for method, hits in ((POPULAR, [[5, 4]]), (POPULAR_ITEMS, [[5, -1]])):
        (answer,) = method.answer(parts, [toy_query("q", "")], at(0), seed=0)
        assert answer.hits_kn.tolist() == hits
        assert len(answer.directions_kD) == 1


def test_a_reference_counts_an_item_once():
    assert members_of([np.array([2, 2]), np.array([0])], 4).counts_M.tolist() == [1, 0, 1, 0]


def test_nearest_sets_by_hand(bench, toy_query, at):
    # Training queries at 0, 60 and 180 degrees have cosines 1, 0.5 and -1 (counted as 0) with a query at 0.
    parts = {
        "train_emb_BD": at(0, 60, 180),
        "train_references": [np.array([0, 1]), np.array([1, 2]), np.array([4])],
    }
    # Scores: item 1 has 1.5, item 0 has 1.0, item 2 has 0.5. Popularity adds item 4. Items 3 and 5 are in no set.
    for method, hits in ((NEAREST_SETS, [[1, 0], [0, 1]]), (NEAREST_SETS_ITEMS, [[1, 2], [0, 4]])):
        (answer,) = method.answer(bench(**parts), [toy_query("q", "")], at(0), seed=0)
        assert answer.hits_kn.tolist() == hits
        assert np.array_equal(answer.directions_kD, at(10, 0))


def test_nearest_sets_uses_popularity_for_ties_and_short_lists(at):
    references = [np.array([3, 4]), np.array([4, 2]), np.array([2, 1]), np.array([2])]
    counts = members_of(references, 6).counts_M
    ranked = rank_by_neighbours(at(0)[0], at(0, 90, 90, 90), references, counts, num_neighbours=1)
    assert ranked.tolist() == [4, 3, 2, 1]  # 4 and 3 score 1, 4 is in two sets; then 2 (three sets), 1 (one)


def test_a_neighbour_with_a_negative_cosine_counts_as_zero(at):
    # The two nearest of three training queries count. The second has a negative cosine, so its item ties with item 4.
    references = [np.array([0]), np.array([3]), np.array([4])]
    ranked = rank_by_neighbours(at(0)[0], at(0, 150, 180), references, members_of(references, 6).counts_M, 2)
    assert ranked.tolist() == [0, 3, 4]


def test_nearest_sets_uses_only_the_nearest_twenty(at):
    references = [np.array([0])] * 20 + [np.array([1])]
    emb = at(*[1.0] * 20, 30.0)
    ranked = rank_by_neighbours(at(0)[0], emb, references, np.array([0, 0]))
    assert ranked.tolist() == [0]
