from __future__ import annotations

from dataclasses import replace

import pytest

from extproc.decide.attempts import CarriedAttempt, CarriedPlan, Following
from extproc.protocol import names
from extproc.protocol.attempt_place import Place, find_place
from extproc.protocol.naming import (
    GROUPS,
    NAMED,
    NOTHING_NAMED,
    STAND_IN,
    Naming,
    read_naming,
    write_naming,
)
from extproc.protocol.wire import ext_proc_pb2 as wire

PLAN = CarriedPlan(
    attempts=tuple(
        CarriedAttempt(address=f"10.0.0.{n}:8000", model=model, chance=0.5)
        for n, model in enumerate(("a", "b", "c", "d"), start=1)
    ),
    max_retries=5,
    is_verified=True,
    is_marked=True,
)

ELSEWHERE = "10.0.0.9:8000"

WRONG_TWICE = Naming(address=ELSEWHERE, position=1, number=2, hosts_used=1, made=(0,))
"""The first two models' answers were wrong, the second one's at another instance, so that the list still leads to it."""


def place(address: str, number: int, naming: Naming = NOTHING_NAMED, rejected: tuple[int, ...] = ()) -> Place:
    """The plan's try at an address."""
    found = find_place(PLAN, address=address, number=number, naming=naming, rejected=rejected)
    assert found is not None
    return found


def follow(found: Place, position: int, address: str | None = None) -> Naming:
    """How Envoy is sent to an attempt, where it is planned unless an address is given."""
    attempt = PLAN.attempts[position]
    naming = found.naming(
        Following(attempt=replace(attempt, address=address or attempt.address), position=position)
    )
    assert naming is not None
    return naming


def groups(naming: Naming) -> dict[int, str]:
    """The tries that do not go to the plan's next host, by number."""
    message = wire.ProcessingRequest()
    fields = message.metadata_context.filter_metadata[names.NEXT_NAMESPACE].fields
    write_naming(fields, naming)
    assert naming == read_naming(message)
    found = [value.struct_value.fields["name"].string_value for value in fields[GROUPS].list_value.values]
    return {number: group for number, group in enumerate(found, start=1) if group in (NAMED, STAND_IN)}


def test_a_named_instance_has_a_stand_in_where_the_list_leads_to_a_rejected_model() -> None:
    """The list's next host is the second attempt's, which is over: the fourth one's is tried after the third one's."""
    naming = follow(place(ELSEWHERE, 2, WRONG_TWICE, rejected=(0,)), 2)

    assert "10.0.0.4:8000" == naming.stand_in
    assert {3: NAMED, 4: STAND_IN} == groups(naming)


def test_the_planned_instance_stands_in_for_another_one() -> None:
    """Its attempt has not been made there."""
    naming = follow(place(ELSEWHERE, 2, WRONG_TWICE, rejected=(0,)), 2, "10.0.0.8:8000")

    assert "10.0.0.3:8000" == naming.stand_in


@pytest.mark.parametrize("address", [ELSEWHERE, None])
def test_the_list_needs_no_stand_in_where_it_leads_on(address: str | None) -> None:
    """The second attempt is named elsewhere, or the third one overtakes it: the second one's host is next on the list."""
    naming = follow(place("10.0.0.1:8000", 1), 1 if address else 2, address)

    assert "" == naming.stand_in
    assert {2: NAMED} == groups(naming)


def test_the_last_attempt_has_no_stand_in() -> None:
    """Nothing is left that could follow."""
    found = replace(place(ELSEWHERE, 2, WRONG_TWICE, rejected=(0,)), made=(0, 2, 1))

    assert "" == follow(found, 3).stand_in


def test_a_try_at_a_stand_in_uses_up_no_host_of_the_list() -> None:
    """Envoy was sent past its list, and the attempt whose planned instance refused the connection was made."""
    naming = follow(place(ELSEWHERE, 2, WRONG_TWICE, rejected=(0,)), 2)
    found = place("10.0.0.4:8000", 4, naming, rejected=(0, 1))

    assert (3, 1, (0, 1, 2, 3)) == (found.position, found.hosts_used, found.made)
    assert PLAN.attempts[3] == replace(found.attempt, chance=0.5)


def test_a_planned_instance_that_was_not_reached_is_still_to_come_elsewhere() -> None:
    """Another one was named for its attempt; whoever stood in, the attempt is left where it was planned."""
    naming = Naming(
        address=ELSEWHERE, position=2, number=3, hosts_used=1, made=(0, 1), stand_in="10.0.0.4:8000"
    )

    assert (0, 1, 3) == place("10.0.0.4:8000", 4, naming).made


def test_a_stand_in_is_for_one_try() -> None:
    """A later try at that address is the list's."""
    naming = Naming(
        address=ELSEWHERE, position=2, number=3, hosts_used=1, made=(0, 1), stand_in="10.0.0.4:8000"
    )

    assert 4 == place("10.0.0.4:8000", 5, naming).hosts_used


def test_an_address_of_no_attempt_has_no_place() -> None:
    """Nothing is asked of that try."""
    assert None is find_place(PLAN, address=ELSEWHERE, number=1, naming=NOTHING_NAMED, rejected=())


TWINS = CarriedPlan(
    attempts=(
        CarriedAttempt(address="10.0.0.1:8000", model="a", chance=0.5, max_tokens=70, retries_overflow=True),
        CarriedAttempt(address="10.0.0.2:8000", model="a"),
        CarriedAttempt(address="10.0.0.3:8000", model="b", chance=0.4),
        CarriedAttempt(address="10.0.0.4:8000", model="c", chance=0.3),
    ),
    max_retries=2,
    is_verified=True,
    is_marked=True,
)
"""A plan whose second host stands in for the first one."""


def twin_place(
    address: str, number: int, naming: Naming = NOTHING_NAMED, rejected: tuple[int, ...] = ()
) -> Place:
    """The try of `TWINS` at an address."""
    found = find_place(TWINS, address=address, number=number, naming=naming, rejected=rejected)
    assert found is not None
    return found


def test_a_stand_in_of_the_list_makes_the_attempt_that_it_stands_in_for() -> None:
    """With its chance and its limit, but the room of its own instance."""
    found = twin_place("10.0.0.2:8000", 2)

    assert (0, 2, (0,), True) == (found.position, found.hosts_used, found.made, found.is_again)
    assert replace(TWINS.attempts[0], address="10.0.0.2:8000", retries_overflow=False) == found.attempt
    assert (0,) == found.rejected_with_this
    assert found.stand_in() is None, "the list leads to the second model"


def test_a_model_that_answered_needs_no_stand_in() -> None:
    """After a wrong answer the list is left, and whoever follows is followed by the third model."""
    naming = twin_place("10.0.0.1:8000", 1).naming(Following(attempt=TWINS.attempts[2], position=2))
    assert naming is not None
    found = twin_place("10.0.0.3:8000", 2, naming, rejected=(0,))
    beyond = found.stand_in()

    assert ("10.0.0.3:8000", 2, "10.0.0.4:8000") == (naming.address, naming.number, naming.stand_in)
    assert beyond is not None
    assert 3 == beyond.position


def test_a_first_try_that_fails_is_followed_by_the_list() -> None:
    """To the stand-in, without a word of the filter's."""
    assert twin_place("10.0.0.1:8000", 1).stand_in() is None


def test_a_rejected_length_leads_to_the_stand_in_with_more_room() -> None:
    """The list leads there by itself."""
    found = twin_place("10.0.0.1:8000", 1)
    following = found.roomier()
    assert following is not None

    assert ("10.0.0.2:8000", 0, False) == (
        following.attempt.address, following.position, following.attempt.retries_overflow,
    )  # fmt: skip
    assert found.naming(following) is None


def test_the_last_model_is_the_last_attempt_whatever_stands_in() -> None:
    """No attempt is left, and none may be made."""
    assert replace(twin_place("10.0.0.1:8000", 1), made=(0, 2, 3)).is_last
    assert twin_place("10.0.0.4:8000", 3).is_last
    assert not twin_place("10.0.0.2:8000", 2).is_last
