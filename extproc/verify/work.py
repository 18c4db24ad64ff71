"""A bound on the work of one verification, counted in steps instead of seconds so that it needs no clock."""

from __future__ import annotations


class WorkExceededError(Exception):
    """A check would need more steps than are left; the answer stays undecided."""


class WorkBudget:
    """Steps left for one verification; a step is about two microseconds of work on one core."""

    __slots__ = ("left",)

    def __init__(self, steps: int) -> None:
        self.left = steps

    def charge(self, steps: int) -> None:
        """Take steps away.

        Raises:
            WorkExceededError: None are left.
        """
        self.left -= steps
        if self.left < 0:
            raise WorkExceededError
