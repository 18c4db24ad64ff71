from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.errors import BadRequestError
from extproc.verify.expectation import MAX_HEADER_CHARS, Expectation, ExpectationKind, parse_expectation


@pytest.mark.parametrize(
    ("header", "kind", "argument"),
    [
        ("exact:Paris", ExpectationKind.EXACT, "Paris"),
        ("exact:caf%C3%A9", ExpectationKind.EXACT, "café"),
        ("exact:100%25", ExpectationKind.EXACT, "100%"),
        ("contains: a: b", ExpectationKind.CONTAINS, " a: b"),
        (" Regex:^\\d+$", ExpectationKind.REGEX, "^\\d+$"),
        ("quoted", ExpectationKind.QUOTED, "1"),
        ("quoted:", ExpectationKind.QUOTED, "1"),
        ("quoted:03", ExpectationKind.QUOTED, "3"),
        ("json-pointer:/a/0=[1]", ExpectationKind.JSON_POINTER, "/a/0=[1]"),
        ("json-pointer:=1", ExpectationKind.JSON_POINTER, "=1"),
    ],
)
def test_the_grammar(header: str, kind: ExpectationKind, argument: str) -> None:
    """A word, a colon, and a percent-encoded argument."""
    assert Expectation(kind, argument) == parse_expectation(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Paris",
        "equals:Paris",
        "exact",
        "exact:",
        "exact:%20",
        "exact:100%",
        "exact:%zz",
        "exact:%ff",
        "exact:\ud800",
        "regex:(",
        "regex:(?=a)",
        "regex:" + "(a{100}){100}",
        "quoted:-1",
        "quoted:33",
        "quoted:²",
        "quoted:" + "9" * 50,
        "json-pointer:/a",
        "json-pointer:a=1",
        "json-pointer:/~2=1",
        "contains:" + "x" * MAX_HEADER_CHARS,
    ],
)
def test_other_headers_are_the_client_s_mistake(header: str) -> None:
    """Each gets a sentence that says what is wrong."""
    with pytest.raises(BadRequestError) as refusal:
        parse_expectation(header)

    assert "invalid-expectation" == refusal.value.reason
    assert len(refusal.value.message) < 250


@given(kind=st.sampled_from(["exact", "contains"]), argument=st.text(min_size=1, max_size=50))
def test_an_expectation_survives_its_header(kind: str, argument: str) -> None:
    """Any text can be expected, and passed on to another replica."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return
    expectation = Expectation(ExpectationKind(kind), argument)
    if argument.strip():
        assert expectation == parse_expectation(expectation.header)


@given(
    header=st.text(max_size=40) | st.from_regex(r"(exact|regex|quoted|json-pointer):.{0,20}", fullmatch=True)
)
def test_any_header_is_parsed_or_refused(header: str) -> None:
    """There is no third way."""
    try:
        outcome: object = parse_expectation(header).kind
    except BadRequestError as refusal:
        outcome = refusal.reason

    assert outcome in {"invalid-expectation", *ExpectationKind}
