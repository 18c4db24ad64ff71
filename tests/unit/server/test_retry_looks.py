from __future__ import annotations

import pytest

from extproc.server.retry_looks import RetryLooks, may_pass


def test_tries_become_rarer_up_to_a_limit() -> None:
    """Looks between tries double with each failure."""
    retry = RetryLooks(most=5)
    pauses = []
    for _ in range(5):
        retry.failed()
        looks = 1
        while not retry.is_due():
            looks += 1
        pauses.append(looks)

    assert [1, 2, 4, 5, 5] == pauses


def test_nothing_is_due_once_it_is_settled() -> None:
    """Neither before a failure nor after the end of its row."""
    retry = RetryLooks(most=5)
    assert not retry.is_due()
    retry.failed()
    retry.settle()

    assert (False, False) == (retry.is_due(), retry.is_pending)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(PermissionError(13, "no"), True), (FileNotFoundError(2, "no"), False), (KeyError("x"), False)],
)
def test_what_lies_with_the_system_may_pass(reason: Exception, expected: bool) -> None:
    """By itself or as the cause of what is told."""
    told = ValueError("cannot be read")
    told.__cause__ = reason

    assert (expected, expected) == (may_pass(reason), may_pass(told))
