"""vLLM 0.32's error answers: status, type, wording and parameter of each, so that what reads them is tested on them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any


class ApiError(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, message: str, *, error_type: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error_type = error_type
        self.param = param

    def body(self) -> dict[str, Any]:
        """The OpenAI-shaped body."""
        return {
            "error": {
                "message": self.message,
                "type": self.error_type,
                "param": self.param,
                "code": self.status,
            }
        }

    def anthropic_body(self) -> dict[str, Any]:
        """The body of `/v1/messages`."""
        return {"type": "error", "error": {"type": self.error_type, "message": self.message}}


def model_not_found(model: str) -> ApiError:
    """The model is not served here."""
    return ApiError(404, f"The model `{model}` does not exist.", error_type="NotFoundError", param="model")


def invalid(message: str, param: str, value: object = None) -> ApiError:
    """A field that vLLM's own validation refuses."""
    shown = f"{message} (parameter={param}" + (f", value={value})" if value is not None else ")")
    return ApiError(400, shown, error_type="BadRequestError", param=param)


def unreadable(kind: str, where: str, message: str) -> ApiError:
    """A body that FastAPI refuses before vLLM sees it."""
    shown = f"1 validation error:\n  {{'type': '{kind}', 'loc': '{where}', 'msg': '{message}'}}"
    return ApiError(400, shown, error_type="Bad Request", param=where)


def prompt_too_long(context: int) -> ApiError:
    """The prompt alone exceeds the context; vLLM stops counting its tokens one past the limit."""
    return invalid(
        f"This model's maximum context length is {context} tokens. However, your prompt contains at least "
        f"{context + 1} input tokens, which exceeds this limit even without any output tokens. "
        "Please reduce the length of the input prompt.",
        "input_tokens",
        context + 1,
    )


def prompt_fills_context(context: int) -> ApiError:
    """The prompt leaves no room for one output token."""
    return ApiError(
        400,
        f"The decoder prompt (length {context}) plus the number of requested output tokens (at least 1) is longer "
        f"than the maximum model length of {context}. Make sure that `max_model_len` is no smaller than the number "
        "of text tokens (prompt + requested output tokens).",
        error_type="BadRequestError",
    )


def total_too_long(context: int, output_tokens: int) -> ApiError:
    """Prompt and `max_tokens` together exceed the context: the wording of vLLM before mid-2026."""
    prompt = context - output_tokens + 1
    return invalid(
        f"This model's maximum context length is {context} tokens. However, you requested {output_tokens} output "
        f"tokens and your prompt contains at least {prompt} input tokens, for a total of at least {context + 1} "
        "tokens. Please reduce the length of the input prompt or the number of requested output tokens.",
        "input_tokens",
        prompt,
    )


def output_too_long(param: str, requested: int, context: int) -> ApiError:
    """`max_tokens` alone exceeds the context."""
    return invalid(
        f"{param}={requested} cannot be greater than max_model_len={context}. Please request fewer output tokens.",
        param,
        requested,
    )


def queue_full() -> ApiError:
    """`max_num_queued_reqs` is reached."""
    return ApiError(
        503,
        "The engine is currently busy and cannot accept new requests. "
        "Please try again later or on a different instance.",
        error_type="Service Unavailable",
    )


def engine_dead() -> ApiError:
    """The engine process is gone."""
    return ApiError(
        500,
        "EngineCore encountered an issue. See stack trace (above) for the root cause.",
        error_type="InternalServerError",
    )


def injected(status: int) -> ApiError:
    """A fault that was asked for."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown Error"
    return ApiError(status, f"injected fault: {phrase}", error_type=phrase)
