from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
MANUAL = (ROOT / "docs" / "verification.md").read_text(encoding="utf-8")


def test_the_manual_lists_every_reason_for_an_answer_without_a_verdict() -> None:
    """Clients see these words in `x-ttca-verdict-reason`."""
    sources = [
        *(ROOT / "extproc" / "verify").glob("*.py"),
        ROOT / "extproc" / "protocol" / "attempt_exchange.py",
    ]
    sources.append(ROOT / "extproc" / "server" / "attempts.py")
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    found = set(re.findall(r'"((?:verify|skipped)\.[a-z_-]+)', text))

    assert {"skipped.stream", "verify.nothing-asked"} < found
    assert set() == {reason for reason in found if f"`{reason}" not in MANUAL}
