"""The fleet file's section on verification."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, field_validator

from extproc.settings.section import Section

LONGEST_JUDGEMENT_SECONDS = 60
"""Longest wait for an external judge."""

JUDGE_MARGIN_SECONDS = 1.0
"""What Envoy waits longer than the service does, so that the service has the word."""


class VerificationMode(StrEnum):
    """Which plain answers are verified before the client gets them."""

    OFF = "off"
    ASKED = "asked"
    ALWAYS = "always"


class JudgeKindName(StrEnum):
    """What stands behind a judge's address."""

    OPENAI = "openai"
    HTTP = "http"


class JudgeSettings(Section):
    """An external judge, asked about answers that passed everything else."""

    kind: JudgeKindName = Field(
        default=JudgeKindName.OPENAI,
        strict=False,
        description="`openai`: a chat-completions endpoint; `http`: a service that takes `{api, request, answers}` and "
        "replies `{correct, reason}`.",
    )
    url: str = Field(
        pattern=r"^https?://\S+$",
        json_schema_extra={"x-expected": "an http or https URL"},
        description="Address that the request is posted to.",
    )
    model: str = Field(default="", description="Model name, for `openai`.")
    timeout_seconds: Annotated[float, Field(gt=0, le=LONGEST_JUDGEMENT_SECONDS)] = Field(
        default=5.0,
        description="Longest wait for the verdict, in seconds; later the answer passes unverified.",
    )
    bearer_token_variable: str = Field(
        default="", description="Environment variable that holds the judge's bearer token; empty for none."
    )


class VerificationSettings(Section):
    """Verification of plain (not streamed) answers.

    A rejected one is retried: by the policy `first_correct` on the plan's next model, by `least_work` and others that do not
    weigh quality with the same model, unless that would answer the same (temperature 0, or a seed). The policies that weigh
    quality for one attempt (`route_balance`, `laar`, `load_aware`, `session_affinity`) leave asking again to the client.
    """

    mode: VerificationMode = Field(
        default=VerificationMode.ASKED,
        strict=False,
        description="`asked`: answers to requests that can be held against something: a response format, tools, or "
        "`x-ttca-expect`; `always`: also for empty, cut and looping answers of all others; `off`: none.",
    )
    max_answer_bytes: int = Field(
        default=1024 * 1024,
        ge=1024,
        le=256 * 1024 * 1024,
        description="Largest answer that is verified, in bytes; larger ones pass unverified.",
    )
    own_limit_is_failure: bool = Field(
        default=False, description="An answer that the client's own `max_tokens` cut is wrong."
    )
    refusal_is_failure: bool = Field(default=False, description="A refusal is wrong.")
    min_mean_logprob: Annotated[float, Field(le=0, allow_inf_nan=False)] | None = Field(
        default=None,
        description="Least mean log-probability per token of an answer that carries them; null: no opinion.",
    )
    judge: JudgeSettings | None = Field(default=None, description="External judge; null: none.")

    @field_validator("mode", mode="before")
    @classmethod
    def _off_is_off(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        # YAML 1.1 reads a bare `off` as false.
        return VerificationMode.OFF if value is False else value
