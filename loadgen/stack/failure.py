"""What can go wrong with local processes."""

from __future__ import annotations


class StackError(Exception):
    """A process could not be started or died; the message says which, why, and where its log is."""
