from __future__ import annotations

from loadgen.virtual.prefixes import PrefixStore


def test_an_answered_prompt_is_cached() -> None:
    """A prompt that was kept is found with all its tokens, one never seen is not."""
    store = PrefixStore()
    store.keep("a", 100)
    assert 100 == store.cached("a", 1000)
    assert 0 == store.cached("b", 1000)


def test_the_prompt_that_was_used_least_recently_goes_first() -> None:
    """When the unused room shrinks, what was kept last stays."""
    store = PrefixStore()
    store.keep("a", 100)
    store.keep("b", 100)
    store.keep("a", 100)
    assert 100 == store.cached("a", 150)
    assert 0 == store.cached("b", 1000)
