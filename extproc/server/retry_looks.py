"""When to try again what failed for a reason that may pass, for whoever looks at something on a beat."""

from __future__ import annotations


def may_pass(error: BaseException) -> bool:
    """True when an error, or what caused it, lies with the system: no room, no permission, too many files open.

    A file that is not there does not count: that it comes can be seen without trying.
    """
    reason = error if isinstance(error, OSError) else error.__cause__
    return isinstance(reason, OSError) and not isinstance(reason, FileNotFoundError)


class RetryLooks:
    """Counts looks between tries: one after the first failure, twice as many after each further one.

    Args:
        most: Looks between two tries at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._pause = 0
        self._left = 0

    @property
    def is_pending(self) -> bool:
        """True while something is to be tried again."""
        return self._pause > 0

    def failed(self) -> None:
        """Note a failure that may pass."""
        self._pause = min(self._most, max(1, self._pause * 2))
        self._left = self._pause

    def settle(self) -> None:
        """Note that nothing is to be tried again."""
        self._pause = self._left = 0

    def is_due(self) -> bool:
        """Count one look; True when it is the one to try again at."""
        if self._left:
            self._left -= 1
        return self.is_pending and self._left == 0
