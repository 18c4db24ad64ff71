from __future__ import annotations

import numpy as np
import pytest

from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.vllm_metrics import InstanceMetrics
from loadgen.questions.generated import generate_questions
from loadgen.virtual.baselines import Laar, LoadAware, RoundRobin, SessionAffinity
from loadgen.virtual.fleet import STUDY_TIERS, build_fleet
from loadgen.virtual.knowledge import Chances, ExpectedLengths
from loadgen.virtual.policy import Asked, Forecast

DRAWN = generate_questions("zeroeval", seed=1, count=100)
FLEET = build_fleet(DRAWN.models, STUDY_TIERS, instances=[2] * 5)


class Declared:
    """Chances that were declared for every question."""

    def __init__(self, *chances: float) -> None:
        self._found = Chances(np.ones(1), np.array(chances)[:, np.newaxis])

    def chances(self, question: object) -> Chances:
        return self._found


@pytest.fixture
def book() -> LoadBook:
    return LoadBook(FLEET.topology)


@pytest.fixture
def forecast(book: LoadBook) -> Forecast:
    return Forecast(book.table, ExpectedLengths(DRAWN.training, DRAWN.models))


def loaded(book: LoadBook, **running: float) -> FleetSnapshot:
    """A snapshot in which the models of these indices (`m0`, `m1`, …) have that many sequences on each instance."""
    for name, sequences in running.items():
        for row in book.table.rows_by_model[DRAWN.models[int(name[1:])]]:
            metrics = InstanceMetrics(
                running=sequences,
                waiting=0.0,
                kv_usage=0.0,
                preemptions_total=0.0,
                kv_capacity_tokens=None,
            )
            book.observe(book.table.addresses[row], metrics, 0.0)
    return book.snapshot(0.0)


def model_of(row: int | None) -> str | None:
    return None if row is None else DRAWN.models[row // 2]


def test_laar_weighs_latency_against_chance(book: LoadBook, forecast: Forecast) -> None:
    """The smallest model is first when it is half as good, and not when it is nearly useless."""
    asked, snapshot = Asked(0, DRAWN.held_out[0]), loaded(book)
    useful = Laar(forecast, Declared(0.5, 0.9, 0.9, 0.9, 0.9), most_attempts=5)
    useless = Laar(forecast, Declared(0.01, 0.9, 0.9, 0.9, 0.9), most_attempts=5)
    assert "gemma-2-2b" == model_of(useful.choose(asked, snapshot))
    assert "gemma-2-2b" != model_of(useless.choose(asked, snapshot))


def test_laar_with_an_infinite_penalty_asks_no_model_twice(book: LoadBook, forecast: Forecast) -> None:
    """It ends when every model has failed; a soft penalty goes on."""
    asked = Asked(0, DRAWN.held_out[0], failed=list(DRAWN.models), rows=[0, 2, 4, 6, 8])
    knowledge = Declared(0.5, 0.5, 0.5, 0.5, 0.5)
    assert Laar(forecast, knowledge, most_attempts=9).choose(asked, loaded(book)) is None
    assert Laar(forecast, knowledge, most_attempts=9, penalty=2.0).choose(asked, loaded(book)) is not None


def test_load_aware_avoids_the_busy(book: LoadBook, forecast: Forecast) -> None:
    """With the smallest model crowded the next faster one is asked."""
    asked = Asked(0, DRAWN.held_out[0])
    policy = LoadAware(forecast, most_attempts=3)
    assert "gemma-2-2b" == model_of(policy.choose(asked, loaded(book)))
    assert "gemma-2-2b" != model_of(policy.choose(asked, loaded(book, m0=100.0)))


def test_load_aware_may_forget_failures(book: LoadBook, forecast: Forecast) -> None:
    """Without a penalty the fastest model is asked again; with an infinite one it is not."""
    asked = Asked(0, DRAWN.held_out[0], failed=["gemma-2-2b"], rows=[0])
    forgetful = LoadAware(forecast, most_attempts=3, penalty=1.0)
    assert "gemma-2-2b" == model_of(forgetful.choose(asked, loaded(book)))
    assert "gemma-2-2b" != model_of(LoadAware(forecast, most_attempts=3).choose(asked, loaded(book)))


def test_session_affinity_returns_to_the_first_instance(book: LoadBook, forecast: Forecast) -> None:
    """A retry goes where the first attempt went, however it failed."""
    policy = SessionAffinity(LoadAware(forecast, most_attempts=3), most_attempts=3)
    asked = Asked(0, DRAWN.held_out[0], failed=["llama-3.1-8b"], rows=[3])
    assert 3 == policy.choose(asked, loaded(book, m1=100.0))


def test_round_robin_takes_turns(book: LoadBook) -> None:
    """Ten choices in a row are ten instances."""
    rows = []
    for number in range(10):
        row = RoundRobin(most_attempts=1).choose(Asked(number, DRAWN.held_out[0]), book.snapshot(0.0))
        assert row is not None
        rows.append(row)
        book.charge(
            str(number),
            addresses=(book.table.addresses[row],),
            request_id="",
            sequences=1,
            prompt_tokens=1,
            output_tokens=1,
            now=0.0,
            expires_at=1.0,
        )
    assert list(range(10)) == sorted(rows)


@pytest.mark.parametrize("cap", [1, 3])
def test_caps_end_the_retries(book: LoadBook, forecast: Forecast, cap: int) -> None:
    """At its cap every baseline gives up."""
    asked = Asked(0, DRAWN.held_out[0], failed=["gemma-2-2b"] * cap, rows=[0] * cap)
    laar = Laar(forecast, Declared(0.5, 0.5, 0.5, 0.5, 0.5), most_attempts=cap)
    for policy in (
        laar,
        LoadAware(forecast, most_attempts=cap),
        SessionAffinity(laar, most_attempts=cap),
        RoundRobin(most_attempts=cap),
    ):
        assert policy.choose(asked, book.snapshot(0.0)) is None
