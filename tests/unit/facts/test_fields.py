from __future__ import annotations

import pytest

from extproc.errors import BadRequestError
from extproc.facts.fields import check_message, read_flag, read_int, read_messages_array, read_stream_usage


@pytest.mark.parametrize(
    ("value", "expected"), [(None, None), (1, 1), (100, 100), (10.0, 10), ("10", 10), (True, 1)]
)
def test_integers_are_coerced_as_pydantic_does(value: object, expected: int | None) -> None:
    """Integral floats, digits and booleans are integers to vLLM, so they are here."""
    assert expected == read_int({"n": value}, "n", minimum=1, maximum=100)


@pytest.mark.parametrize(
    "value", [0, -1, 101, 2**80, 1e300, 1.5, float("nan"), float("inf"), "ten", "", [], {}, False]
)
def test_other_integers_are_refused(value: object) -> None:
    """Fractions, words, containers and numbers out of range are a 400 that names field and value."""
    with pytest.raises(BadRequestError, match=r"`n` must be (an integer|from 1 to 100), got") as caught:
        read_int({"n": value}, "n", minimum=1, maximum=100)
    assert ("invalid-field", "n") == (caught.value.reason, caught.value.param)


def test_a_flag_in_a_nested_object_is_named_by_its_path() -> None:
    """The path stands in for the name where the field is nested."""
    with pytest.raises(BadRequestError, match=r"`a\.b` must be a boolean, got the number 7") as caught:
        read_flag({"b": 7}, "b", path="a.b")
    assert "a.b" == caught.value.param


@pytest.mark.parametrize(
    ("options", "expected"),
    [(None, False), ({}, False), ({"include_usage": None}, False), ({"include_usage": True}, True)],
)
def test_stream_usage_is_asked_for(options: object, expected: bool) -> None:
    """Usage comes with a stream only when it is asked for."""
    assert expected is read_stream_usage({"stream_options": options})


@pytest.mark.parametrize("options", [[], "x", True, {"include_usage": "x"}])
def test_malformed_stream_options_are_refused(options: object) -> None:
    """Options that vLLM's model would refuse are a 400."""
    with pytest.raises(BadRequestError, match="`stream_options"):
        read_stream_usage({"stream_options": options})


@pytest.mark.parametrize(
    ("messages", "reason"),
    [(None, "missing-field"), ([], "invalid-field"), ("hi", "invalid-field"), ({}, "invalid-field")],
)
def test_messages_are_an_array_that_is_not_empty(messages: object, reason: str) -> None:
    """Absent, empty and other `messages` are a 400."""
    with pytest.raises(BadRequestError, match="an array with at least one message") as caught:
        read_messages_array({"messages": messages})
    assert (reason, "messages") == (caught.value.reason, caught.value.param)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("hi", "messages[3]"),
        (None, "messages[3]"),
        ({}, "messages[3].role"),
        ({"role": 1}, "messages[3].role"),
    ],
)
def test_a_message_is_an_object_with_a_role(message: object, param: str) -> None:
    """A malformed message is a 400 that says which one."""
    with pytest.raises(BadRequestError) as caught:
        check_message(message, 3)
    assert param == caught.value.param
