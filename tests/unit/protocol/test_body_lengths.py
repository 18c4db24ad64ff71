"""Any JSON body and any sequence of tries, carried out as Envoy does: one header map, and DECIDE's body for every try."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extproc.decide.plan import Attempt, Plan
from extproc.facts.json_body import read_object
from extproc.facts.request import RequestFacts
from extproc.protocol import names
from extproc.protocol.attempt_exchange import AttemptExchange
from extproc.protocol.encode import decision_on_body
from extproc.protocol.naming import Naming, write_naming
from extproc.protocol.tailor import body_for_all
from extproc.protocol.wire import ext_proc_pb2 as wire

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")

KEYS = ('"model"', '"mod\\u0065l"', '"max_tokens"', '"max_completion_tokens"', '"messages"', '"é😀"')

model_names = st.sampled_from(("a", "b", "meta-llama/Llama-3.1-405B-Instruct-FP8", 'é"\\', "😀"))
limits = st.none() | st.sampled_from((1, 512, 2_147_483_647))
values = st.recursive(
    st.none() | st.integers(0, 99_999) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(("model", "max_tokens", "x")), inner, max_size=3)
    ),
    max_leaves=6,
)


class Tries:
    """What Envoy keeps of one request: its headers, which every try changes, and the body that DECIDE made."""

    def __init__(self, body: bytes, *, tells_length: bool) -> None:
        self.headers = {names.CONTENT_LENGTH: str(len(body))} if tells_length else {}
        self.body = body

    def apply(self, common: wire.CommonResponse) -> bytes:
        """Take an answer of the service; the body that goes on."""
        mutation = common.header_mutation
        for option in mutation.set_headers:
            self.headers[option.header.key] = option.header.raw_value.decode()
        for key in mutation.remove_headers:
            self.headers.pop(key, None)
        return common.body_mutation.body if common.HasField("body_mutation") else self.body

    def make(self, address: str, number: int, naming: Naming | None) -> bytes:
        """Make a try at an instance with the service's help; the body that it gets."""
        exchange = AttemptExchange(max_answer_bytes=1000)
        message = wire.ProcessingRequest()
        for key, value in (self.headers | {names.ATTEMPT_COUNT: str(number)}).items():
            message.request_headers.headers.headers.add(key=key, raw_value=value.encode())
        message.attributes["envoy.filters.http.ext_proc"].update({names.ATTRIBUTE_UPSTREAM_ADDRESS: address})
        if naming is not None:
            write_naming(message.metadata_context.filter_metadata[names.NEXT_NAMESPACE].fields, naming)
        exchange.receive(message, 0)
        (answer,) = exchange.responses_to_send()
        self.apply(answer.request_headers.response)
        if answer.mode_override.request_body_mode != wire.ProcessingMode.BUFFERED:
            return self.body
        exchange.receive(wire.ProcessingRequest(request_body=wire.HttpBody(body=self.body)), 0)
        (answer,) = exchange.responses_to_send()
        return self.apply(answer.request_body.response)


def clients_body(data: st.DataObject, model: str) -> bytes:
    """A body that names a model at least once, in any encoding."""
    members = data.draw(st.lists(st.tuples(st.sampled_from(KEYS), values), max_size=6))
    members.insert(data.draw(st.integers(0, len(members))), ('"model"', model))
    space = data.draw(st.sampled_from(("", " ", "\n")))
    text = ",".join(f"{space}{key}{space}:{json.dumps(value)}" for key, value in members)
    return f"{{{text}{space}}}{space}".encode(data.draw(st.sampled_from(ENCODINGS)))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), pairs=st.lists(st.tuples(model_names, limits), min_size=2, max_size=4))
def test_a_stated_length_is_the_bodys(
    data: st.DataObject,
    pairs: list[tuple[str, int | None]],
    make_plan: Callable[..., Plan],
    make_facts: Callable[..., RequestFacts],
) -> None:
    """Whatever came before it, a try says no other length than its body's, and its body names its model."""
    attempts = tuple(
        Attempt(address=f"10.0.0.{n}:8000", cluster="c", model=model, work_seconds=1.0, max_tokens=limit)
        for n, (model, limit) in enumerate(pairs)
    )
    is_verified = data.draw(st.booleans())
    body = clients_body(data, attempts[0].model)
    plan = make_plan(
        attempts=attempts,
        route_cluster=names.UNION_CLUSTER,
        max_retries=5,
        is_verified=is_verified,
        # Without an alias the body names the first attempt's model by itself.
        model=attempts[0].model
        if data.draw(st.booleans()) or read_object(body)["model"] != attempts[0].model
        else None,
    )
    facts = make_facts()
    tries = Tries(body, tells_length=data.draw(st.booleans()))
    tries.body = tries.apply(
        decision_on_body(plan, facts, body_for_all(body, plan, facts.api)).request_body.response
    )
    for number in range(1, 7):
        position = data.draw(st.integers(0, len(attempts) - 1))
        naming = data.draw(
            st.none()
            | st.builds(
                Naming,
                address=st.just("10.9.9.9:8000"),
                position=st.just(position),
                number=st.just(number),
                max_tokens=limits,
            )
        )
        is_served = data.draw(st.booleans())
        address = attempts[position].address if naming is None else naming.address
        sent = tries.make(address, number, naming) if is_served else tries.body

        assert str(len(sent)) == tries.headers.get(names.CONTENT_LENGTH, str(len(sent)))
        model = attempts[position].model if is_served else attempts[0].model
        assert model == read_object(sent)["model"]
