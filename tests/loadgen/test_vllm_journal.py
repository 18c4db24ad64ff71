from __future__ import annotations

from dataclasses import replace

from loadgen.vllm.journal import Journal, ReceivedRequest


def add(journal: Journal, body: bytes) -> ReceivedRequest:
    """Write a request with this body down."""
    return journal.add(received_at=1.0, method="POST", path="/v1/x", headers=[("X-A", "b")], body=body)


def test_only_the_last_are_kept_and_all_are_counted() -> None:
    """The journal is bounded; indexes go on."""
    journal = Journal(kept=3)
    for number in range(10):
        add(journal, bytes([number]))
    assert ([7, 8, 9], 10) == ([entry.index for entry in journal.last()], journal.total)
    assert [9] == [entry.index for entry in journal.last(1)]
    assert [] == journal.last(0)


def test_an_entry_is_completed_in_its_place() -> None:
    """A status that comes late goes to its request, or nowhere once the entry is gone."""
    journal = Journal(kept=2)
    entries = [add(journal, b"x") for _ in range(3)]
    for entry in entries:
        journal.complete(replace(entry, status=200 + entry.index))
    assert [201, 202] == [entry.status for entry in journal.last()]
    journal.clear()
    journal.complete(replace(entries[2], status=500))
    assert [] == journal.last()


def test_header_names_are_in_lower_case() -> None:
    """Header names compare without regard to case."""
    assert (("x-a", "b"),) == add(Journal(), b"").headers
