"""Envoy's own answers (no host, timeout, body too large) in the shape of OpenAI's errors."""

from __future__ import annotations

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    ExtensionFilter,
)
from envoy_data_plane.envoy.config.core.v3 import SubstitutionFormatString
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.google.protobuf import Any, Struct

_ERRORS = (
    (404, "NotFoundError", "There is nothing at this path."),
    (408, "RequestTimeoutError", "The request took too long to arrive."),
    (413, "RequestEntityTooLargeError", "The body is larger than this gateway accepts."),
    (431, "BadRequestError", "The headers are larger than this gateway accepts."),
    (503, "ServiceUnavailableError", "No instance could be reached. Try again."),
    (504, "GatewayTimeoutError", "No instance answered in time."),
)
"""Status, `error.type`, `error.message`."""


def local_replies() -> LocalReplyConfig:
    """Shape Envoy's answers, and leave alone those that the service made."""
    mappers = [_mapper(f"response.code == {status}", kind, message) for status, kind, message in _ERRORS]
    mappers.append(_mapper("response.code < 500", "BadRequestError", "The request could not be read."))
    mappers.append(_mapper("response.code >= 500", "InternalServerError", "The gateway failed."))
    return LocalReplyConfig(mappers=mappers)


def _mapper(condition: str, kind: str, message: str) -> ResponseMapper:
    expression = f"{condition} && !response.code_details.startsWith('ttca')"
    body = {
        "error": {
            "message": f"{message} (%RESPONSE_CODE_DETAILS%)",
            "type": kind,
            "param": None,
            "code": "%RESPONSE_CODE%",
        }
    }
    return ResponseMapper(
        filter=AccessLogFilter(
            extension_filter=ExtensionFilter(
                name="envoy.access_loggers.extension_filters.cel",
                typed_config=Any.pack(ExpressionFilter(expression=expression)),
            )
        ),
        body_format_override=SubstitutionFormatString(json_format=Struct.from_dict(body)),
    )
