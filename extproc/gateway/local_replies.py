"""Envoy's own answers (no host, timeout, body too large) in the shape of OpenAI's errors."""

from __future__ import annotations

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    ExtensionFilter,
)
from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    SubstitutionFormatString,
)
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.google.protobuf import Any, Struct

from extproc.protocol import names

_ERRORS = (
    ("== 404", "NotFoundError", "path-not-found", "There is nothing at this path."),
    ("== 408", "RequestTimeoutError", "request-timeout", "The request took too long to arrive."),
    (
        "== 413",
        "RequestEntityTooLargeError",
        "body-too-large",
        "The body is larger than this gateway accepts.",
    ),
    ("== 431", "BadRequestError", "headers-too-large", "The headers are larger than this gateway accepts."),
    (
        "== 503",
        "ServiceUnavailableError",
        "no-answer",
        "No instance that may serve this request could be reached, or all of them failed. Try again.",
    ),
    (
        "== 504",
        "GatewayTimeoutError",
        "timeout",
        f"No instance answered within the request's time: its `{names.DEADLINE}`, else the gateway's timeout.",
    ),
    ("< 500", "BadRequestError", "unreadable-request", "The request could not be read."),
    (">= 500", "InternalServerError", "gateway-failure", "The gateway failed."),
)
"""Condition on the status, `error.type`, `error.code`, `error.message`; the first that holds."""


def local_replies() -> LocalReplyConfig:
    """Shape Envoy's answers, and leave alone those that the service made."""
    return LocalReplyConfig(mappers=[_mapper(*error) for error in _ERRORS])


def _mapper(condition: str, kind: str, code: str, message: str) -> ResponseMapper:
    expression = f"response.code {condition} && !response.code_details.startsWith('ttca')"
    # What Envoy says of it helps whoever runs it, and is nothing for a sentence.
    error = {
        "message": message,
        "type": kind,
        "param": None,
        "code": code,
        "details": "%RESPONSE_CODE_DETAILS%",
    }
    body = {"error": error}
    return ResponseMapper(
        filter=AccessLogFilter(
            extension_filter=ExtensionFilter(
                name="envoy.access_loggers.extension_filters.cel",
                typed_config=Any.pack(ExpressionFilter(expression=expression)),
            )
        ),
        headers_to_add=[
            HeaderValueOption(
                header=HeaderValue(key=names.ERROR_REASON, value=code),
                append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
            )
        ],
        body_format_override=SubstitutionFormatString(json_format=Struct.from_dict(body)),
    )
