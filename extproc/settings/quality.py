"""The fleet file's section on what is known of the models' answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from extproc.settings.section import Section


class QualitySettings(Section):
    """What is known of the models' answers beforehand. Counts for policies that weigh quality."""

    model_directory: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="Directory of a fitted model (`ttca fit`), followed while the service runs; one that cannot be used is "
        "refused, and the model before it stays. null: chances start from `quality_prior`. A relative path is relative "
        "to the directory that the service is started in.",
    )
    outcome_log: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="File to which judged answers are appended, for the next `ttca fit`: numbers that describe the prompt, "
        "its hashed words, the model, the verdict; no text. Hashed words let whoever has the file test guesses at a "
        "prompt's words. null: none. A relative path is relative to the directory that the service is started in.",
    )
    outcome_log_max_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=64 * 1024,
        le=1 << 40,
        description="Most bytes of the log and of the one before it (`….1`) together.",
    )
