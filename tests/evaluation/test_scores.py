from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.evaluation import scores
from r4t_ray.evaluation.method_answer import Answer, answers_of_directions, round_robin
from r4t_ray.evaluation.methods.best_of_5 import judge_oar
from r4t_ray.evaluation.scores import (
    coverage_scores,
    geometric_scores,
    nearest_cosines,
    recall_by_novelty,
    score,
    score_answers,
    theme_scores,
)
from r4t_ray.rewards import (
    BackTranslationConfig,
    BackTranslationReward,
    OARConfig,
    QueryLogProbs,
    SpecificConfig,
    SpecificReward,
)


def test_round_robin_gives_direction_i_the_ranks_i_i_plus_k_and_so_on():
    assert round_robin(np.arange(7), k=3, n=2).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert round_robin(np.array([4]), k=2, n=2).tolist() == [[4, -1], [-1, -1]]


def test_recall_and_hit_count_the_union_once(toy_query):
    answer = Answer(directions_kD=np.eye(2, dtype=np.float32), hits_kn=np.array([[0, 1], [1, -1]]))
    ids = ["a", "b", "c", "d"]
    assert coverage_scores(answer, toy_query("q", "", ("b", "d", "a", "x")), ids, 4) == {"recall@4": 0.5, "hit@4": 1.0}
    assert coverage_scores(answer, toy_query("q", "", ("c",)), ids, 4) == {"recall@4": 0.0, "hit@4": 0.0}


def test_geometric_scores_by_hand(at, pool):
    # Directions at 0 and 60 degrees are items. Groundedness is 1, alignment (1 + 0.5)/2, eigenvalues (1 +- 0.5)/2.
    index = pool(0, 60, 170)
    answer = Answer(directions_kD=at(0, 60), hits_kn=np.array([[0], [1]]))
    found = geometric_scores(answer, at(0)[0], index, 2, OARConfig())
    vendi = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert found["vendi"] == pytest.approx(vendi / 2, abs=1e-6)
    assert found["groundedness"] == pytest.approx(1.0, abs=1e-3)
    assert found["alignment"] == pytest.approx(0.75, abs=1e-6)
    assert found["oar_reward"] == pytest.approx(0.6 + 0.2 * vendi / 2 + 0.2 * 0.75, abs=1e-3)


def test_back_translation_by_hand_is_the_main_measure_and_picks_the_best_sample(at, pool, toy_query, bench):
    """The language model finds a query e times as probable for each entry "t0" in its prompt."""
    asked = []

    def count(prompts, queries):
        asked.extend(prompts)
        return QueryLogProbs(np.array([prompt.count("t0") for prompt in prompts], np.float32), np.ones(len(prompts)))

    config = BackTranslationConfig(type="back_translation", num_random=2, gamma=0.5)
    reward = BackTranslationReward(config, count, ["t0", "t90"])
    reward.random_sets = lambda query_id, k: [(0, 1), (1, 1)]  # ln p is 1 and 0
    parts = bench(task="oar", index=pool(0, 90), n=1, back_translation=reward)
    query, random = toy_query("q", "a wish"), np.log((np.e + 1) / 2)
    both = Answer(directions_kD=at(0, 90), hits_kn=np.array([[0], [1]]))
    one = Answer(directions_kD=at(90), hits_kn=np.array([[1]]))
    values = score_answers(parts, [both, one], [query] * 2, at(0, 0), [{0}, {0}])["back_translation_reward"]
    # Two orthogonal items have Vendi / k = 1; one item and a missing direction have 1 / 2.
    assert np.abs(values - [1 - random, -random + 0.5 * np.log(0.5)]).max() < 1e-6
    assert len(asked) == 3, "two answers and two random sets, one of which is an answer too"
    assert parts.main_measure == "back_translation_reward"
    assert judge_oar(parts, both, query, at(0)[0]) > judge_oar(parts, one, query, at(0)[0])


def test_specific_reward_by_hand(at, pool, toy_query, bench):
    # Without training queries every nearness is 1. Two orthogonal items have Vendi 2, so the reward is 1.
    reward = SpecificReward(config=SpecificConfig(gamma=0.5), train_ids=[], train_emb_ND=np.zeros((0, 2), np.float32))
    parts, query = bench(task="oar", index=pool(0, 90), n=1, specific=reward), toy_query("q", "", ())
    both = Answer(directions_kD=at(0, 90), hits_kn=np.array([[0], [1]]))
    assert score(parts, both, query, at(0)[0])["specific_reward"] == pytest.approx(1.0, abs=1e-3)
    # A missing direction has no groundedness. The other eigenvalue of K/2 takes its share, so Vendi is 1 of 2.
    one = Answer(directions_kD=at(0), hits_kn=np.array([[0]]))
    assert score(parts, one, query, at(0)[0])["specific_reward"] == pytest.approx(0.5 * 0.5**0.5, abs=1e-3)
    # A training query at the item of the first direction halves its nearness: both have cosine 1 to the item.
    near = SpecificReward(config=SpecificConfig(max_cosine=1.0), train_ids=["other"], train_emb_ND=at(0))
    found = score(bench(task="oar", index=pool(0, 90), n=1, specific=near), one, query, at(0)[0])["specific_reward"]
    assert found == pytest.approx(0.25 * 0.5**0.5, abs=1e-3)


def test_nearest_cosine_is_over_the_whole_pool(at, monkeypatch):
    monkeypatch.setattr(scores, "POOL_BLOCK", 2)
    items = at(0, 90, 200, 31, 120)
    assert nearest_cosines(at(30, 95), items) == pytest.approx(np.cos(np.deg2rad([1, 5])), abs=1e-6)


def test_only_wscr_has_recall(at, pool, toy_query, bench):
    answer = Answer(directions_kD=at(0), hits_kn=np.array([[0]]))
    query = toy_query("q", "", ("item0",))
    names = [
        list(score(bench(task=task, index=pool(0, 60), k=1, n=1), answer, query, at(0)[0])) for task in ("oar", "wscr")
    ]
    assert names[0] == ["vendi", "groundedness", "alignment", "oar_reward"]
    assert names[1] == ["recall@1", "hit@1", *names[0]]


def test_recall_of_seen_and_of_unseen_items(toy_query):
    answer = Answer(directions_kD=np.eye(2, dtype=np.float32), hits_kn=np.array([[0, 1], [1, -1]]))
    ids = ["a", "b", "c", "d"]
    found = recall_by_novelty(answer, toy_query("q", "", ("b", "d", "a", "x")), ids, 4, {"a", "c", "d"})
    assert found == {"recall_seen@4": 0.5, "recall_unseen@4": 0.5}
    found = recall_by_novelty(answer, toy_query("q", "", ("b", "c")), ids, 4, {"b", "c"})
    assert found["recall_seen@4"] == 0.5
    assert np.isnan(found["recall_unseen@4"])


def test_theme_scores_are_of_top_items_and_of_all_items():
    answer = Answer(directions_kD=np.eye(2, dtype=np.float32), hits_kn=np.array([[0, 1], [2, 3]]))
    found = theme_scores(answer, {0, 3, 7, 8}, k=2, budget=4)
    assert found == {"theme_precision": 0.5, "theme_precision_all": 0.5, "theme_recall": 0.5}


def test_every_measure_of_all_answers(at, bench, toy_query):
    # Six items lie at 0, 10, ..., 50 degrees; the training reference is item 0. Each answer is its two nearest items.
    parts, queries = bench(k=1, n=2), [toy_query("p", "", ("item0", "item1")), toy_query("q", "", ("item5",))]
    answers = answers_of_directions(parts.index, [at(2), at(48)], n=2)
    found = score_answers(parts, answers, queries, at(2, 48), [])
    measured = {name: values.tolist() for name, values in found.items() if name in ("swap", "jaccard", "recall@2")}
    assert measured == {"swap": [1.0, 1.0], "jaccard": [0.0, 0.0], "recall@2": [1.0, 1.0]}
    assert found["recall_unseen@2"].tolist() == [1.0, 1.0]
    assert found["recall_seen@2"] == pytest.approx([1.0, np.nan], nan_ok=True)
    themed = score_answers(bench(task="oar", k=1, n=2), answers, queries, at(2, 48), [{0, 2}, frozenset()])
    assert themed["theme_recall"] == pytest.approx([0.5, np.nan], nan_ok=True)
    assert not [name for name in themed if name.startswith("recall")]


def test_a_joint_search_returns_hits_to_the_right_query(at, pool):
    empty = np.zeros((0, 2), dtype=np.float32)
    answers = answers_of_directions(pool(0, 10, 20), [at(21), empty, at(1, 11), empty], n=5)
    assert [answer.top_rows.tolist() for answer in answers] == [[2], [], [0, 1], []]
    assert answers[0].hits_kn.tolist() == [[2, 1, 0, -1, -1]]
