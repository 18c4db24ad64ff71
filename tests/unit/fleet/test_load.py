from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.fleet.load import FOREIGN_FADE_SECONDS, UNREACHABLE_SCRAPES, LoadBook
from extproc.fleet.topology import Cluster, Fleet, Instance, Pool, Price, Speed
from extproc.fleet.vllm_metrics import InstanceMetrics

A, B, C, D = "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4"


def fleet_of(*addresses: str, draining: frozenset[str] = frozenset()) -> Fleet:
    """One cluster of the given instances; 1000 prompt tokens per second each."""
    cluster = Cluster(
        name="c",
        model="m",
        pool="p",
        max_model_len=8192,
        max_num_seqs=4,
        price=Price(input_usd_per_mtok=0, output_usd_per_mtok=0),
        speed=Speed(
            iteration_base_seconds=0.01, iteration_per_sequence_seconds=0.001, prefill_tokens_per_second=1000
        ),
        instances=tuple(Instance(address=a, draining=a in draining) for a in addresses),
    )
    return Fleet(clusters=(cluster,), pools=(Pool(name="p", threshold_tokens=None, spill_at=1),))


def charge(book: LoadBook, decision_id: str, *addresses: str, **changes: Any) -> None:
    """Charge a small request at time 0."""
    values: dict[str, Any] = {
        "request_id": f"r-{decision_id}",
        "sequences": 1,
        "prompt_tokens": 100,
        "output_tokens": 50,
        "now": 0.0,
        "expires_at": 100.0,
    }
    book.charge(decision_id, addresses=addresses, **{**values, **changes})


def scrape(running: float = 0, waiting: float = 0, **changes: Any) -> InstanceMetrics:
    """A scrape of an otherwise empty instance."""
    values: dict[str, Any] = {"kv_usage": 0.0, "preemptions_total": 0.0, "kv_capacity_tokens": None}
    return InstanceMetrics(running=running, waiting=waiting, **{**values, **changes})


def test_charges_the_first_instance_and_releases_it() -> None:
    """A decision counts on its first instance until it is released, once."""
    book = LoadBook(fleet_of(A, B))
    charge(book, "d", A, B)

    assert {A: 1, B: 0} == book.sequences_by_address()
    assert book.release("d", now=0.0) is True
    assert book.release("d", now=0.0) is False
    assert {A: 0, B: 0} == book.sequences_by_address()


def test_releases_by_request_id_when_the_decision_is_unknown() -> None:
    """When Envoy gave up on the decision, its log still names the request, and every charge of it ends."""
    book = LoadBook(fleet_of(A))
    charge(book, "d1", A, request_id="r")
    charge(book, "d2", A, request_id="r")

    assert book.release("", "r", now=0.0) is True
    assert book.in_flight == 0


def test_advances_along_the_plan() -> None:
    """A failed try moves the charge to the plan's next instance, and the last one keeps it."""
    book = LoadBook(fleet_of(A, B))
    charge(book, "d", A, B)

    assert book.advance("d", A, now=0.0) is True
    assert {A: 0, B: 1} == book.sequences_by_address()
    assert book.advance("d", A, now=0.0) is False
    assert book.advance("d", B, now=0.0) is False
    assert {A: 0, B: 1} == book.sequences_by_address()


def test_a_named_instance_comes_before_the_rest_of_the_plan() -> None:
    """It is charged in the plan's place, which goes on where it stood when the named one fails."""
    book = LoadBook(fleet_of(A, B, C))
    charge(book, "d", A, B)

    assert book.advance("d", A, C, now=0.0) is True
    assert {A: 0, B: 0, C: 1} == book.sequences_by_address()
    assert book.advance("d", C, now=0.0) is True
    assert {A: 0, B: 1, C: 0} == book.sequences_by_address()
    assert book.advance("d", B, now=0.0) is False


def test_naming_the_plans_next_instance_changes_nothing() -> None:
    """The plan ends where it would have ended."""
    book = LoadBook(fleet_of(A, B))
    charge(book, "d", A, B)

    assert book.advance("d", A, B, now=0.0) is True
    assert {A: 0, B: 1} == book.sequences_by_address()
    assert book.advance("d", B, now=0.0) is False


def test_a_plan_at_its_end_can_be_sent_elsewhere() -> None:
    """The named instance stands for a host that Envoy has skipped."""
    book = LoadBook(fleet_of(A, B))
    charge(book, "d", A)

    assert book.advance("d", A, B, now=0.0) is True
    assert {A: 0, B: 1} == book.sequences_by_address()


def test_a_race_charges_both_instances() -> None:
    """When it is due the next one has the request, too; each further race follows as much later; the end frees all."""
    book = LoadBook(fleet_of(A, B, C))
    charge(book, "d", A, B, C, now=10.0, hedge_seconds=2.0)

    assert [1.0, 0.0, 0.0] == book.snapshot(11.9).sequences.tolist()
    assert [1.0, 1.0, 0.0] == book.snapshot(12.0).sequences.tolist()
    book.observe(A, scrape(), 14.5)
    assert {A: 1, B: 1, C: 1} == book.sequences_by_address()
    assert book.release("d", now=15.0) is True
    assert {A: 0, B: 0, C: 0} == book.sequences_by_address()


def test_a_try_that_ends_in_a_race_is_not_followed_again() -> None:
    """Its next one is under way; only the try that began last is followed by another one."""
    book = LoadBook(fleet_of(A, B, C))
    charge(book, "d", A, B, C, hedge_seconds=2.0)
    book.snapshot(2.0)

    assert book.advance("d", A, now=2.0) is True
    assert {A: 0, B: 1, C: 0} == book.sequences_by_address()
    assert book.advance("d", B, now=2.0) is True
    assert {A: 0, B: 0, C: 1} == book.sequences_by_address()
    assert book.advance("d", C, now=2.0) is False


def test_a_retry_is_raced_from_its_own_start() -> None:
    """The race against a try that ended is off, and the one against the next try is due later."""
    book = LoadBook(fleet_of(A, B, C))
    charge(book, "d", A, B, C, hedge_seconds=2.0)
    book.snapshot(1.0)
    book.advance("d", A, now=1.0)

    assert [0.0, 1.0, 0.0] == book.snapshot(2.5).sequences.tolist()
    assert [0.0, 1.0, 1.0] == book.snapshot(3.0).sequences.tolist()


def test_a_race_survives_an_edit_of_the_fleet() -> None:
    """Both tries are charged to the new table's rows."""
    book = LoadBook(fleet_of(A, B))
    charge(book, "d", A, B, hedge_seconds=2.0)
    book.snapshot(2.0)
    book.replace_fleet(fleet_of(C, B, A))

    assert {C: 0, B: 1, A: 1} == book.sequences_by_address()


def test_expires_what_nobody_released() -> None:
    """An entry whose end was never reported goes at its expiry and is counted."""
    book = LoadBook(fleet_of(A))
    charge(book, "d", A, expires_at=10.0)

    assert book.expire(9.9) == 0
    assert book.expire(10.0) == 1
    assert book.expired == 1
    assert {A: 0} == book.sequences_by_address()


def test_a_next_attempts_prompt_is_prefilled_too() -> None:
    """Its instance has the whole prompt before it, as if the request had come there first, and was assigned last."""
    book = LoadBook(fleet_of(A, B))
    charge(book, "d", A, B, prompt_tokens=600)
    book.snapshot(1.0)
    book.advance("d", A, now=1.0)

    snapshot = book.snapshot(1.0)
    assert [0.0, 600.0] == snapshot.prefill_backlog_tokens.tolist()
    assert snapshot.last_assigned[1] > snapshot.last_assigned[0]


def test_backlog_drains_at_the_prefill_rate() -> None:
    """Prompt tokens sent count as backlog until the instance had time to prefill them."""
    book = LoadBook(fleet_of(A, B))
    charge(book, "d", A, prompt_tokens=600, now=0.0)

    assert [600.0, 0.0] == book.snapshot(0.0).prefill_backlog_tokens.tolist()
    assert [350.0, 0.0] == pytest.approx(book.snapshot(0.25).prefill_backlog_tokens.tolist())
    assert [0.0, 0.0] == book.snapshot(1.0).prefill_backlog_tokens.tolist()


def test_a_scrape_adds_what_others_sent_and_fades() -> None:
    """Sequences that the instance counts beyond ours are added, less and less as the scrape ages."""
    book = LoadBook(fleet_of(A))
    charge(book, "d", A)
    book.observe(A, scrape(running=3, waiting=2), now=10.0)

    assert book.snapshot(10.0).sequences.tolist() == [5.0]
    faded = 1 + 4 * math.exp(-1)
    assert book.snapshot(10.0 + FOREIGN_FADE_SECONDS).sequences.tolist() == pytest.approx([faded])


def test_a_scrape_takes_away_what_has_ended_unreported() -> None:
    """When the instance counts less than we do, the difference is taken off, never below zero."""
    book = LoadBook(fleet_of(A))
    charge(book, "d", A)
    book.observe(A, scrape(), now=1.0)
    book.release("d", now=1.0)

    assert book.snapshot(1.0).sequences.tolist() == [0.0]


def test_free_memory_is_unknown_until_reported() -> None:
    """Without a reported capacity memory never limits; with one, the used share is taken off."""
    book = LoadBook(fleet_of(A, B))
    book.observe(A, scrape(kv_usage=0.75, kv_capacity_tokens=1000), now=1.0)

    assert [250.0, math.inf] == book.snapshot(1.0).kv_free_tokens.tolist()


def test_preemptions_are_counted_between_scrapes() -> None:
    """The first scrape only sets the mark; later ones give preemptions per running sequence; a restart gives none."""
    book = LoadBook(fleet_of(A))
    book.observe(A, scrape(running=4, preemptions_total=100), now=1.0)
    assert book.snapshot(1.0).preemption_share.tolist() == [0.0]

    book.observe(A, scrape(running=4, preemptions_total=102), now=2.0)
    assert book.snapshot(2.0).preemption_share.tolist() == [0.5]

    book.observe(A, scrape(running=4, preemptions_total=0), now=3.0)
    assert book.snapshot(3.0).preemption_share.tolist() == [0.0]


def test_failures_make_suspect_for_longer_and_longer() -> None:
    """Each failure in a row doubles the time as a last resort; a success ends it."""
    book = LoadBook(fleet_of(A))
    book.observe_failure(A, now=0.0)
    assert book.snapshot(0.9).suspect.tolist() == [True]
    assert book.snapshot(1.1).suspect.tolist() == [False]

    book.observe_failure(A, now=2.0)
    assert book.snapshot(3.9).suspect.tolist() == [True]

    book.observe_success(A)
    assert book.snapshot(3.9).suspect.tolist() == [False]


def test_an_old_failure_does_not_count_in_the_row() -> None:
    """After being trusted for as long as it was suspect, an instance starts from the shortest suspicion again."""
    book = LoadBook(fleet_of(A))
    for now in (0.0, 1.5):
        book.observe_failure(A, now=now)
    assert book.snapshot(3.4).suspect.tolist() == [True]

    book.observe_failure(A, now=5.6)
    assert book.snapshot(6.5).suspect.tolist() == [True]
    assert book.snapshot(6.7).suspect.tolist() == [False]


def test_refused_scrapes_make_suspect_until_one_is_answered() -> None:
    """One refused scrape may be chance; the second says that nobody listens."""
    book = LoadBook(fleet_of(A))
    book.observe_refused(A)
    assert book.snapshot(0.0).suspect.tolist() == [False]

    for _ in range(UNREACHABLE_SCRAPES):
        book.observe_refused(A)
    assert book.snapshot(0.0).suspect.tolist() == [True]

    book.observe(A, scrape(), now=1.0)
    assert book.snapshot(1.0).suspect.tolist() == [False]


@pytest.mark.parametrize("listens", [LoadBook.observe_unread, LoadBook.observe_success])
def test_whatever_shows_that_somebody_listens_ends_the_suspicion(
    listens: Callable[[LoadBook, str], None],
) -> None:
    """An instance whose page cannot be had, but which is there again, must not stay the last resort for ever."""
    book = LoadBook(fleet_of(A))
    for _ in range(UNREACHABLE_SCRAPES):
        book.observe_refused(A)
    assert book.snapshot(600.0).suspect.tolist() == [True]

    listens(book, A)
    assert book.snapshot(600.0).suspect.tolist() == [False]

    book.observe_refused(A)
    assert book.snapshot(600.0).suspect.tolist() == [False]


def test_suspects_are_named() -> None:
    """Who failed lately and who refuses connections, as the snapshot has it."""
    book = LoadBook(fleet_of(A, B, C))
    book.observe_failure(A, now=0.0)
    for _ in range(UNREACHABLE_SCRAPES):
        book.observe_refused(C)

    assert frozenset({A, C}) == book.suspects(0.5)
    assert frozenset({C}) == book.suspects(1.5)


def test_keeps_load_over_a_change_of_the_fleet() -> None:
    """Instances that stay keep load and history by address, whatever their new row."""
    book = LoadBook(fleet_of(A, B))
    charge(book, "on-a", A)
    charge(book, "on-b", B)
    book.observe(B, scrape(running=3), now=0.0)
    book.observe_failure(B, now=0.0)
    book.replace_fleet(fleet_of(C, B, draining=frozenset({C})))

    snapshot = book.snapshot(0.0)
    assert {C: 0, B: 1} == book.sequences_by_address()
    assert [0.0, 3.0] == snapshot.sequences.tolist()
    assert [False, True] == snapshot.suspect.tolist()
    assert [False, True] == snapshot.usable.tolist()


def test_an_instance_that_comes_back_has_its_requests_again() -> None:
    """Requests in flight on a removed instance are charged again when it returns, and released without trouble."""
    book = LoadBook(fleet_of(A, B))
    charge(book, "d", A)
    book.replace_fleet(fleet_of(B))
    assert {B: 0} == book.sequences_by_address()

    book.replace_fleet(fleet_of(B, A))
    assert {B: 0, A: 1} == book.sequences_by_address()
    assert book.release("d", now=0.0) is True
    assert {B: 0, A: 0} == book.sequences_by_address()


def test_a_removed_instance_does_not_break_release() -> None:
    """The end of a request on an instance that has left the fleet only clears the entry."""
    book = LoadBook(fleet_of(A, B))
    charge(book, "d", A, B)
    book.replace_fleet(fleet_of(B))

    assert book.release("d", now=0.0) is True
    assert book.in_flight == 0


operations = st.lists(
    st.tuples(
        st.sampled_from(["charge", "release", "release-request", "advance", "expire", "replace"]),
        st.integers(0, 9),
        st.sampled_from([A, B, C, D]),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(operations=operations)
def test_the_book_always_sums_to_its_entries_and_ends_at_zero(operations: list[tuple[str, int, str]]) -> None:
    """Whatever happens in whatever order, counts equal entries, nothing is negative, and releasing all leaves zero."""
    book = LoadBook(fleet_of(A, B, C, D))
    fleets = [fleet_of(A, B, C, D), fleet_of(B, C), fleet_of(D)]
    for now, (operation, number, address) in enumerate(operations):
        match operation:
            case "charge" if not book.release(f"d{number}", now=now):
                charge(
                    book, f"d{number}", address, D if address != D else A, sequences=1 + number % 3, now=now,
                    hedge_seconds=(None, 3.0)[number % 2],
                )  # fmt: skip
            case "release":
                book.release(f"d{number}", now=now)
            case "release-request":
                book.release("", f"r-d{number}", now=now)
            case "advance":
                book.advance(f"d{number}", address, now=now)
            case "expire" if number == 0:
                book.expire(200.0)
            case "replace":
                book.replace_fleet(fleets[number % len(fleets)])
        book.snapshot(now)
        assert all(count >= 0 for count in book.sequences_by_address().values())
    for number in range(10):
        book.release(f"d{number}", now=99.0)

    assert book.in_flight == 0
    assert set(book.sequences_by_address().values()) == {0}
    assert book._by_request == {}


def test_the_usual_load_follows_the_present_one_slowly() -> None:
    """After one time constant with two sequences the mean has gone most of the way, and it returns as slowly."""
    book = LoadBook(fleet_of(A))
    charge(book, "a", A, sequences=2)
    followed = 0.0

    for second in range(1, 31):
        followed = book.snapshot(float(second)).usual_sequences[0]
    book.release("a", now=30.0)

    assert followed == pytest.approx(2 * (1 - math.exp(-1)))
    assert book.snapshot(60.0).usual_sequences[0] == pytest.approx(followed * math.exp(-1))


def sequence_seconds(book: LoadBook, now: float) -> list[float]:
    """Integral of each instance's sequences up to `now`."""
    found = [book.sequence_seconds_on(address, now) for address in book.table.addresses]
    return [seconds for seconds in found if seconds is not None]


def test_sequences_are_added_up_as_they_come_and_go() -> None:
    """However seldom anybody looks: each time with the number that was there, by another try's instance too."""
    book = LoadBook(fleet_of(A, B))
    charge(book, "first", A, B, now=10.0)
    charge(book, "second", A, now=12.0)
    book.release("second", now=15.0)
    book.advance("first", A, now=16.0)
    before = sequence_seconds(book, 20.0)
    book.release("first", now=20.0)

    assert [9.0, 4.0] == pytest.approx(before)
    assert [9.0, 4.0] == pytest.approx(sequence_seconds(book, 100.0))
    assert [9.0, 4.0] == pytest.approx(book.snapshot(100.0).sequence_seconds.tolist())
    assert None is book.sequence_seconds_on(C, 20.0)


def test_what_others_sent_is_added_up_as_it_fades() -> None:
    """What a scrape has corrected counts from then on."""
    book = LoadBook(fleet_of(A))
    charge(book, "d", A, now=0.0)
    book.observe(A, scrape(running=3), now=10.0)

    assert [10.0] == pytest.approx(sequence_seconds(book, 10.0))
    assert [14.0] == pytest.approx(sequence_seconds(book, 12.0), rel=0.06)


def test_an_instance_that_joins_begins_with_nothing() -> None:
    """Its sequences count from when it came; those of the others go on."""
    book = LoadBook(fleet_of(A))
    charge(book, "d", A, now=0.0)
    book.snapshot(100.0)
    book.replace_fleet(fleet_of(A, B))
    charge(book, "e", B, now=100.0)

    assert [101.0, 1.0] == pytest.approx(sequence_seconds(book, 101.0))
