from __future__ import annotations

import pytest

from extproc.facts.answer import Choice, ToolCall
from extproc.verify.contract import check_contract
from extproc.verify.demands import NO_DEMANDS, AnswerFormat, CallRule, FormDemands
from extproc.verify.finding import Finding, Outcome
from extproc.verify.schema import SchemaCache
from extproc.verify.work import WorkBudget

_PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
_TOOLS = FormDemands(has_tools=True, tools={"f": _PERSON, "g": None})


def _check(demands: FormDemands, choice: Choice | str) -> list[Finding]:
    if isinstance(choice, str):
        choice = Choice(text=choice)
    return list(check_contract(demands, choice, SchemaCache(), WorkBudget(100_000)))


def _calls(*calls: tuple[str | None, str | None]) -> Choice:
    return Choice(text=None, tool_calls=tuple(ToolCall(*call) for call in calls))


def test_nothing_demanded_is_nothing_said() -> None:
    """An ordinary answer has no form to keep, and a call nobody declared is no concern of ours."""
    assert [] == _check(NO_DEMANDS, "hi") == _check(NO_DEMANDS, _calls(("f", "{}")))


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (' {"a": 1}\n', Outcome.PASSED),
        ("[1]", Outcome.REJECTED),
        ('{"a": NaN}', Outcome.REJECTED),
        ('{"a": 1', Outcome.REJECTED),
        ('```json\n{"a": 1}\n```', Outcome.REJECTED),
        ("", Outcome.REJECTED),
    ],
)
def test_a_json_object_is_what_any_client_could_read(text: str, outcome: Outcome) -> None:
    """A fence or a remark around it breaks the client, so it is wrong."""
    (finding,) = _check(FormDemands(format=AnswerFormat.JSON), text)

    assert ("contract.json", outcome) == (finding.check, finding.outcome)


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        ('{"name": "x"}', "", ""),
        ('{"name": 1}', "contract.schema", "type at /name"),
        ("{}", "contract.schema", "required at the top"),
        ("no JSON", "contract.schema-no-json", "no JSON: no JSON"),
    ],
)
def test_a_schema_is_kept_or_not(text: str, reason: str, detail: str) -> None:
    """The detail says where and which keyword."""
    (finding,) = _check(FormDemands(format=AnswerFormat.SCHEMA, schema=_PERSON), text)

    assert (reason, detail) == (finding.reason, finding.detail)


@pytest.mark.parametrize("schema", [{"type": "text"}, {"$ref": "http://example.com/"}, None])
def test_a_schema_that_cannot_be_used_decides_nothing(schema: object) -> None:
    """The answer may be right: only we cannot tell."""
    (finding,) = _check(FormDemands(format=AnswerFormat.SCHEMA, schema=schema), '{"name": "x"}')

    assert Outcome.UNDECIDED is finding.outcome


def test_skipped_keywords_are_named() -> None:
    """A pass says what it leaves open."""
    schema = {"properties": {"a": {"pattern": "(?=x)"}}}
    (finding,) = _check(FormDemands(format=AnswerFormat.SCHEMA, schema=schema), "{}")

    assert (Outcome.PASSED, "without pattern") == (finding.outcome, finding.detail)


@pytest.mark.parametrize(
    ("options", "text", "outcome"),
    [
        (("yes", "no"), "yes", Outcome.PASSED),
        (("yes", "no"), "yes.", Outcome.REJECTED),
        ((), "yes", Outcome.UNDECIDED),
    ],
)
def test_options(options: tuple[str, ...], text: str, outcome: Outcome) -> None:
    """One of the texts, to the letter."""
    (finding,) = _check(FormDemands(format=AnswerFormat.CHOICE, options=options), text)

    assert outcome is finding.outcome


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (("f", '{"name": "x"}'), ""),
        (("f", '{"name": 1}'), "contract.tools"),
        (("f", '{"name":'), "contract.tools-no-json"),
        (("f", None), "contract.tools"),
        (("g", ""), ""),
        (("g", "[]"), "contract.tools"),
        (("h", "{}"), "contract.unknown-tool"),
        ((None, "{}"), "contract.unknown-tool"),
    ],
)
def test_a_call_must_be_of_a_declared_tool_with_its_arguments(
    call: tuple[str | None, str | None], reason: str
) -> None:
    """Unknown names, broken JSON and wrong arguments are what breaks agents."""
    (finding,) = _check(_TOOLS, _calls(call))

    assert reason == finding.reason


def test_every_call_is_checked() -> None:
    """One wrong call among several is enough."""
    findings = _check(_TOOLS, _calls(("g", "{}"), ("f", "{}")))

    assert [Outcome.PASSED, Outcome.REJECTED] == [finding.outcome for finding in findings]


@pytest.mark.parametrize(
    ("rule", "allowed", "choice", "reason"),
    [
        (CallRule.AUTO, None, Choice(text="hi"), None),
        (CallRule.REQUIRED, None, Choice(text="hi"), "contract.tool-choice"),
        (CallRule.NAMED, frozenset({"g"}), Choice(text="hi"), "contract.tool-choice"),
        (CallRule.NAMED, frozenset({"g"}), _calls(("g", "{}")), ""),
        (CallRule.NAMED, frozenset({"f"}), _calls(("g", "{}")), "contract.tool-choice"),
        (CallRule.NONE, None, _calls(("g", "{}")), "contract.tool-choice"),
        (CallRule.NONE, None, Choice(text="hi"), None),
    ],
)
def test_the_tool_choice_is_respected(
    rule: CallRule, allowed: frozenset[str] | None, choice: Choice, reason: str | None
) -> None:
    """Required, named and forbidden calls; where calls are free, their absence says nothing."""
    demands = FormDemands(has_tools=True, tools={"f": None, "g": None}, call_rule=rule, allowed=allowed)

    assert ([] if reason is None else [reason]) == [finding.reason for finding in _check(demands, choice)]


def test_parallel_calls_that_are_not_allowed() -> None:
    """A client that takes one call at a time gets one."""
    demands = FormDemands(has_tools=True, tools={"g": None}, allows_parallel=False)

    assert ["contract.parallel-calls"] == [
        finding.reason for finding in _check(demands, _calls(("g", "{}"), ("g", "{}")))
    ]


def test_tools_that_are_not_known_decide_nothing() -> None:
    """From a header one knows that there are tools, and not which."""
    (finding,) = _check(FormDemands(has_tools=True), _calls(("g", "{}")))

    assert Outcome.UNDECIDED is finding.outcome


def test_a_turn_of_calls_has_no_final_text() -> None:
    """The format is for the answer, not for the remark beside a call; without calls it holds."""
    demands = FormDemands(has_tools=True, tools={"g": None}, format=AnswerFormat.JSON)
    calling = Choice(text="Let me see.", tool_calls=(ToolCall("g", "{}"),))

    assert ["contract.tools"] == [finding.check for finding in _check(demands, calling)]
    assert ["contract.json"] == [finding.check for finding in _check(demands, "Let me see.")]


def test_the_server_s_own_tools_are_not_the_client_s() -> None:
    """A web search on the way does not excuse the final text."""
    search = Choice(text="no JSON", tool_calls=(ToolCall("search", None, is_function=False),))

    (finding,) = _check(FormDemands(format=AnswerFormat.JSON), search)

    assert finding.is_rejection
