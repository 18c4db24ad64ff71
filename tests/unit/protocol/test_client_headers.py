from __future__ import annotations

import pytest

from extproc.errors import BadRequestError
from extproc.protocol import names
from extproc.protocol.client_headers import MAX_CHARACTERS, checked_text, deadline_seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("", None), ("1", 0.001), ("2500", 2.5), ("9999999999", 9999999.999)]
)
def test_a_deadline_is_read_in_seconds(text: str, expected: float | None) -> None:
    """Milliseconds on the wire; none when the client set none."""
    assert expected == deadline_seconds(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "soon", " 5", "\u00b2", "1" * 11])
def test_a_malformed_deadline_is_refused(text: str) -> None:
    """The client is told which header is at fault."""
    with pytest.raises(BadRequestError) as raised:
        deadline_seconds(text)

    assert (names.DEADLINE, "invalid-header") == (raised.value.param, raised.value.reason)


def test_a_text_is_bounded() -> None:
    """A session's name is kept in memory, so it has an end."""
    assert "x" * MAX_CHARACTERS == checked_text(names.SESSION, "x" * MAX_CHARACTERS)
    with pytest.raises(BadRequestError, match="4097 characters"):
        checked_text(names.SESSION, "x" * (MAX_CHARACTERS + 1))
