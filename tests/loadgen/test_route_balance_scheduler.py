"""RouteBalance's own rule: score, ties, dead reckoning, windows, and the trees behind it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor

from extproc.fleet.load import LoadBook
from loadgen.questions.question import Question
from loadgen.reproduce.route_balance.arms import Bench
from loadgen.reproduce.route_balance.balance import Balance, BalanceDecider, Weights
from loadgen.reproduce.route_balance.batches import NO_WINDOW, Window, adaptive_window
from loadgen.reproduce.route_balance.cells import Load, Pattern, Setting, run_cell
from loadgen.reproduce.route_balance.cluster import (
    INSTANCES,
    MEASURED_SECONDS,
    PRIOR_SECONDS,
    PRIOR_SEQUENCES,
    TIERS,
    build_cluster,
)
from loadgen.reproduce.route_balance.families import (
    FULL,
    NOT_LONGEST_FIRST,
    STATIC,
    UNBATCHED,
    UNIFORM,
    families,
)
from loadgen.reproduce.route_balance.prepare import prepare
from loadgen.reproduce.route_balance.sets import MOST_OUTPUT_TOKENS, NAMES, load_four
from loadgen.reproduce.route_balance.token_time import FleetState, grow
from loadgen.virtual.policy import Asked

LOAD = Load(rate=20.0)


@pytest.fixture(scope="module")
def bench() -> Bench:
    """Generated questions of four sizes, with all that is learned from them."""
    return prepare(load_four("qwen", None, seed=1), profiled=60, seed=1)


def decider(bench: Bench, setting: Balance) -> BalanceDecider:
    return BalanceDecider(build_cluster(bench.questions.models), setting, bench.sight, bench.forest)


def state(bench: Bench) -> tuple[FleetState, LoadBook]:
    book = LoadBook(build_cluster(bench.questions.models).topology)
    return FleetState.of(book.snapshot(0.0)), book


def asked(bench: Bench, count: int) -> list[Asked]:
    return [Asked(number, question) for number, question in enumerate(bench.questions.held_out[:count])]


def test_tokens_take_what_was_published() -> None:
    """A lone sequence decodes in the measured time, and sixteen in the prior's."""
    for tier, measured, prior in zip(TIERS, MEASURED_SECONDS, PRIOR_SECONDS, strict=True):
        assert measured == tier.base_seconds
        extra = (PRIOR_SEQUENCES - 1) * tier.per_sequence_seconds
        assert prior == pytest.approx(measured + extra)
    fleet = build_cluster(("a", "b", "c", "d"))
    assert sum(INSTANCES) == len(fleet.engines)


@pytest.mark.parametrize("name", NAMES)
def test_sets_have_four_models_and_bounded_answers(name: str) -> None:
    """Generated sets know four models each, and answers that were longer than the limit are wrong."""
    questions = load_four(name, None, seed=3)
    assert 4 == len(questions.models)
    whole = load_four(name, None, seed=3).held_out
    assert all(set(q.correct) == set(q.output_tokens) == set(questions.models) for q in whole)
    assert all(tokens <= MOST_OUTPUT_TOKENS for q in whole for tokens in q.output_tokens.values())


def test_an_unknown_set_is_named() -> None:
    """The error says which sets there are."""
    with pytest.raises(ValueError, match=r"'llama'.*qwen"):
        load_four("llama", None, seed=1)


def test_the_score_is_the_papers(bench: Bench) -> None:
    """Quality, price over the dearest and latency over the slowest, each with its weight."""
    fleet, book = state(bench)
    question = bench.questions.held_out[0]
    own = decider(bench, replace(STATIC, weights=Weights(quality=0.5, cost=0.3, latency=0.2)))
    score, seconds = own.scores(question, fleet, book.snapshot(0.0))
    models = book.table.model_index
    tokens = bench.sight.near_tokens[0][models]
    prices = [cluster.price for cluster in book.table.clusters]
    usd = np.array(
        [
            (question.prompt_tokens * p.input_usd_per_mtok + t * p.output_usd_per_mtok) / 1e6
            for p, t in zip(prices, tokens, strict=True)
        ]
    )
    expected_seconds = np.array(PRIOR_SECONDS)[models] * tokens
    expected = (
        0.5 * bench.sight.near_quality[0][models]
        + 0.3 * (1 - usd / usd.max())
        + 0.2 * (1 - expected_seconds / expected_seconds.max())
    )
    assert expected_seconds == pytest.approx(seconds)
    assert expected == pytest.approx(score, abs=1e-6)


def test_an_assignment_makes_the_next_one_wait(bench: Bench) -> None:
    """After an assignment its instance counts as queued: what it has to decode is waited for."""
    fleet, book = state(bench)
    own = decider(bench, STATIC)
    question = bench.questions.held_out[0]
    _, before = own.scores(question, fleet, book.snapshot(0.0))
    fleet.assign(2, prompt_tokens=100, output_tokens=250.0)
    _, after = own.scores(question, fleet, book.snapshot(0.0))
    changed = np.flatnonzero(~np.isclose(before, after))
    assert [2] == changed.tolist()
    assert PRIOR_SECONDS[0] * 250.0 == pytest.approx(after[2] - before[2])


def test_ties_go_to_the_shortest_queue(bench: Bench) -> None:
    """With fixed times, requests decided one by one go round the instances of their model."""
    own = decider(bench, replace(STATIC, weights=Weights(quality=1.0, cost=0.0, latency=0.0)))
    batch = asked(bench, 40)
    rows = [own.decide_together([one], 0.0)[0].addresses[0] for one in batch]
    table = build_cluster(bench.questions.models).topology
    for cluster, size in zip(table.clusters, INSTANCES, strict=True):
        counts = [rows.count(instance.address) for instance in cluster.instances]
        assert size == len(counts)
        assert max(counts) - min(counts) <= 1


def test_courses_stand_in_the_order_of_the_batch(bench: Bench) -> None:
    """Whatever the order in which a batch is decided, each request gets its own course."""
    for setting in (FULL, NOT_LONGEST_FIRST):
        batch = asked(bench, 8)
        courses = decider(bench, setting).decide_together(batch, 0.0)
        assert [f"{one.number}-0" for one in batch] == [course.decision_id for course in courses]


def test_the_longest_is_assigned_first(bench: Bench) -> None:
    """With equal scores the queue decides, and the longest request finds it empty."""
    setting = replace(STATIC, weights=Weights(quality=0.0, cost=1.0, latency=0.0))
    batch = asked(bench, 20)

    def longest(one: Asked) -> float:
        return float(bench.sight.near_tokens[bench.sight.row(one.question)].max())

    courses = decider(bench, setting).decide_together(batch, 0.0)
    first = max(range(len(batch)), key=lambda position: longest(batch[position]))
    in_order = decider(bench, replace(setting, longest_first=False)).decide_together(batch, 0.0)
    table = LoadBook(build_cluster(bench.questions.models).topology).table
    cheapest = table.rows_by_model[table.models[0]]
    assert table.addresses[cheapest[0]] == courses[first].addresses[0]
    assert table.addresses[cheapest[0]] == in_order[0].addresses[0]


def test_windows_grow_with_the_queues() -> None:
    """Few queues, a short window; many, a long one."""
    assert [Window(4, 0.05), Window(16, 0.1), Window(32, 0.2)] == [
        adaptive_window(share) for share in (0.0, 0.5, 0.9)
    ]


def test_a_window_holds_requests_back_no_longer_than_it_says(bench: Bench) -> None:
    """Every request waits, at most for the longest window, and is answered as without one."""
    question = bench.questions.held_out[0]
    lone = replace(bench, questions=replace(bench.questions, held_out=(question,)), sight=bench.sight)
    slow = Setting(arm=STATIC, load=Load(rate=0.02), requests=20, seed=5)
    at_once = replace(slow, arm=replace(STATIC, is_batched=False))
    waited = run_cell(lone, slow).seconds - run_cell(lone, at_once).seconds
    assert np.full(len(waited), 0.05) == pytest.approx(waited)


def test_full_batches_do_not_wait(bench: Bench) -> None:
    """Where every batch fills at once, as with a size of one, nobody waits."""
    assert NO_WINDOW.size == 1
    assert NO_WINDOW == decider(bench, UNBATCHED).window()


def test_a_forest_predicts_as_its_library_does() -> None:
    """Trees as arrays give the library's own predictions."""
    rng = np.random.default_rng(2)
    samples = [(rng.random((300, 5)) * 100, rng.random(300) / 10 + 0.01) for _ in range(2)]
    forest = grow(samples, seed=3)
    for size, (rows, seconds) in enumerate(samples):
        library = GradientBoostingRegressor(
            n_estimators=500,
            max_depth=6,
            learning_rate=0.1,
            subsample=0.8,
            max_features=0.8,
            min_samples_leaf=5,
            n_iter_no_change=30,
            random_state=3,
        ).fit(rows.astype(np.float32), seconds)
        narrow = rows[:40].astype(np.float32).astype(np.float64)
        expected = np.maximum(library.predict(narrow.astype(np.float32)), 0.001)
        assert expected == pytest.approx(forest.predict(narrow, np.full(40, size)))


def test_time_per_token_is_learned_from_the_engines(bench: Bench) -> None:
    """On an idle fleet the trees come near the measured time per token, and rank a crowd above it."""
    fleet, book = state(bench)
    idle = bench.forest.predict(fleet.features(150, 200.0), book.table.model_index)
    for size, measured in enumerate(MEASURED_SECONDS):
        assert measured == pytest.approx(idle[book.table.model_index == size].mean(), rel=0.3)


@pytest.mark.parametrize("label", sorted(families(is_quick=True)))
def test_every_family_answers_every_request(bench: Bench, label: str) -> None:
    """The first point of each family ends every request, at a price and after some time."""
    arm = families(is_quick=True)[label][0]
    cell = run_cell(bench, Setting(arm=arm, load=LOAD, requests=60, seed=2))
    assert 54 == len(cell.seconds)
    assert (cell.seconds > 0).all()
    assert (cell.usd > 0).all()
    assert 1.0 == pytest.approx(cell.shares.sum())
    assert 0.0 < cell.correct.mean() <= 1.0


@pytest.mark.parametrize("pattern", list(Pattern))
def test_all_loads_ask_the_same_questions(bench: Bench, pattern: Pattern) -> None:
    """What is asked hangs on the seed alone, so that arms and loads can be paired."""
    steady = run_cell(bench, Setting(arm=STATIC, load=LOAD, requests=40, seed=7))
    other = run_cell(bench, Setting(arm=FULL, load=replace(LOAD, pattern=pattern), requests=40, seed=7))
    assert steady.questions.tolist() == other.questions.tolist()


def test_a_serial_scorer_makes_its_queue_wait(bench: Bench) -> None:
    """One after the other at a second each, the last of twenty waits for nineteen, and that is part of its latency."""
    fast = Setting(arm=STATIC, load=Load(rate=1000.0), requests=20, seed=7)
    serial = run_cell(bench, replace(fast, load=replace(fast.load, serial_seconds=1.0)))
    waits = serial.seconds - run_cell(bench, replace(fast, load=Load(rate=1.0))).seconds
    assert 19.0 < serial.seconds[-1]
    assert 1.0 == pytest.approx(float(np.diff(waits).mean()), abs=0.5)


def test_uniform_weights_are_uniform() -> None:
    """The paper's balanced setting weighs all three alike."""
    assert UNIFORM.quality == UNIFORM.cost == UNIFORM.latency == pytest.approx(1 / 3)


def test_a_policy_sees_no_answers(bench: Bench) -> None:
    """Turning every held-out answer around changes no choice of any family."""

    def turned(question: Question) -> Question:
        return replace(question, correct={model: not right for model, right in question.correct.items()})

    questions = replace(bench.questions, held_out=tuple(map(turned, bench.questions.held_out)))
    for label, arms in families(is_quick=True).items():
        if label == "plan verified":  # it asks again after a wrong answer, as it should
            continue
        setting = Setting(arm=arms[0], load=LOAD, requests=40, seed=2)
        as_recorded, otherwise = (
            run_cell(bench, setting),
            run_cell(replace(bench, questions=questions), setting),
        )
        assert as_recorded.shares.tolist() == otherwise.shares.tolist(), label
        assert (1.0 - as_recorded.correct).tolist() == otherwise.correct.tolist(), label
