from __future__ import annotations

from extproc.facts.wish import Wish


def test_a_wish_reads_as_the_client_would_write_it() -> None:
    """It is told back to the client, and stands in traces."""
    assert "preset=cost" == str(Wish(preset="cost"))
    assert "quality=0.6,latency=0.3,cost=0.1" == str(Wish(quality=0.6, latency=0.3, cost=0.1))
