from __future__ import annotations

from typing import Any

import pytest

from extproc.gateway.comments import COMMENTS
from extproc.gateway.yaml_text import write_yaml


@pytest.mark.parametrize("place", COMMENTS)
def test_every_comment_has_a_place(tree: dict[str, Any], place: str) -> None:
    """A comment whose option is gone must go too."""
    text = write_yaml(tree, {place: "HERE"})

    assert 1 == text.count("# HERE")


@pytest.mark.parametrize("option", ["failure_mode_allow", "mutation_rules", "processing_mode", "message_timeout",
                                    "metadata_options", "retry_on", "num_retries", "retry_host_predicate",
                                    "retry_back_off", "retry_budget"])  # fmt: skip
def test_every_ext_proc_and_retry_option_has_its_reason(option: str) -> None:
    """The rendered file is where an operator asks why."""
    assert any(option in place for place in COMMENTS)
