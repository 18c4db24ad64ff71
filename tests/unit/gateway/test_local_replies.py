from __future__ import annotations

import pytest

from extproc.gateway.local_replies import local_replies
from extproc.protocol import names


def test_every_status_gets_a_shape_and_the_services_answers_none() -> None:
    """The last two conditions take what the others leave; each spares answers whose details begin with `ttca`."""
    conditions = [
        mapper["filter"]["extensionFilter"]["typedConfig"]["expression"]
        for mapper in local_replies().to_dict()["mappers"]
    ]

    assert ["response.code < 500", "response.code >= 500"] == [
        text.split(" && ")[0] for text in conditions[-2:]
    ]
    assert all("!response.code_details.startsWith('ttca')" in text for text in conditions)


@pytest.mark.parametrize("index", range(8))
def test_the_shape_is_openais(index: int) -> None:
    """Clients read `error.message`, `error.type`, `error.param` and `error.code`, which the header repeats."""
    mapper = local_replies().to_dict()["mappers"][index]
    error = mapper["bodyFormatOverride"]["jsonFormat"]["error"]

    assert {"message", "type", "param", "code", "details"} == set(error)
    assert "%" not in error["message"]
    (added,) = mapper["headersToAdd"]
    assert {"key": names.ERROR_REASON, "value": error["code"]} == added["header"]
