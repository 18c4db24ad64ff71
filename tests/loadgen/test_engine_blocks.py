from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.blocks import BlockLedger

CONTEXTS = st.lists(st.integers(1, 60), min_size=1, max_size=8)


def decoding(contexts: list[int], *, total: int, iteration: int) -> BlockLedger:
    """A ledger with one decoding sequence per context."""
    ledger = BlockLedger(total, 4)
    for context in contexts:
        ledger.take(ledger.blocks_for(context))
        ledger.start_decoding(context, iteration)
    return ledger


@given(contexts=CONTEXTS, iteration=st.integers(0, 100), count=st.integers(0, 40))
def test_growth_is_what_each_sequence_needs(contexts: list[int], iteration: int, count: int) -> None:
    """After any number of iterations the blocks used are the sum over sequences."""
    ledger = decoding(contexts, total=10_000, iteration=iteration)
    ledger.grow(iteration, count)
    assert sum(ledger.blocks_for(context + count) for context in contexts) == ledger.used


@given(contexts=CONTEXTS, iteration=st.integers(0, 100), spare=st.integers(0, 20), limit=st.integers(0, 60))
def test_the_last_iteration_that_fits_is_found(
    contexts: list[int], iteration: int, spare: int, limit: int
) -> None:
    """As many iterations run as find their blocks free, and not one more."""
    used = sum(-(-context // 4) for context in contexts)
    ledger = decoding(contexts, total=used + spare, iteration=iteration)
    count = ledger.iterations_until_short(iteration, limit)
    needed = [sum(ledger.blocks_for(context + done) for context in contexts) for done in range(limit + 1)]
    expected = max(done for done in range(limit + 1) if needed[done] <= used + spare)
    assert expected == count


@given(contexts=CONTEXTS, iteration=st.integers(0, 100), count=st.integers(0, 40))
def test_a_sequence_leaves_without_a_trace(contexts: list[int], iteration: int, count: int) -> None:
    """Who stops after some growth no longer counts towards the need of any iteration."""
    ledger = decoding(contexts, total=10_000, iteration=iteration)
    ledger.grow(iteration, count)
    for context in contexts:
        ledger.stop_decoding(context + count, iteration + count)
        ledger.give_back(ledger.blocks_for(context + count))
    assert [0] * 4 == [ledger.needed_at(iteration + offset) for offset in range(4)]
    assert (0, 10_000) == (ledger.used, ledger.free)
