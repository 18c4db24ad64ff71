from __future__ import annotations

from extproc.estimate.token_priors import PRIORS, TEMPLATE_MESSAGE, TEMPLATE_REQUEST
from extproc.facts.text import Category


def test_every_category_has_a_prior() -> None:
    """A category added to the profile cannot be forgotten here."""
    assert {*Category, TEMPLATE_MESSAGE, TEMPLATE_REQUEST} == set(PRIORS)


def test_priors_lie_within_their_own_bounds() -> None:
    """No prior starts outside what may be learned."""
    assert all(prior.least <= prior.tokens_per_unit <= prior.most for prior in PRIORS.values())


def test_no_byte_may_be_learned_to_cost_more_than_two_tokens() -> None:
    """The guard rail on text is half a byte per token."""
    assert {2.0} == {PRIORS[category].most for category in Category}
