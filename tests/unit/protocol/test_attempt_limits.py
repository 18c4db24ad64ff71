from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.protocol.attempt_limits import (
    NO_LIMITS,
    AttemptLimits,
    decode_attempt_limits,
    encode_attempt_limits,
)


def test_limits_survive_the_header() -> None:
    """What DECIDE writes, ATTEMPT reads."""
    text = encode_attempt_limits(("10.0.0.1:8000", "[::1]:8001"))

    assert "1;overflow=10.0.0.1:8000,[::1]:8001" == text
    assert AttemptLimits(frozenset(("10.0.0.1:8000", "[::1]:8001"))) == decode_attempt_limits(text)


@pytest.mark.parametrize(
    "text", ["", "1", "2;overflow=10.0.0.1:8000", "overflow=10.0.0.1:8000", "1;x", "1;overflow="]
)
def test_what_cannot_be_read_means_no_limits(text: str) -> None:
    """Empty, malformed and foreign texts limit nothing."""
    assert NO_LIMITS == decode_attempt_limits(text)


def test_unknown_fields_are_skipped() -> None:
    """A later replica may say more without being misread by an earlier one."""
    assert AttemptLimits(frozenset(("a:1",))) == decode_attempt_limits("1;verify=schema;overflow=a:1")


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    """Any text gives limits, and nothing raises."""
    assert isinstance(decode_attempt_limits(text), AttemptLimits)
