from __future__ import annotations

from pathlib import Path

import numpy as np

from extproc.assembly import assemble
from extproc.facts.request import Api, RequestFacts
from extproc.facts.text import Category, TextProfile
from extproc.settings.load import parse_settings

TEXT = """
version: 1
pools: [{name: only}]
clusters:
  - {name: c, model: m, pool: only, max_model_len: 8192, max_num_seqs: 4, quality_prior: 0.7,
     price_usd_per_mtok: {input: 1, output: 1}, instances: ["127.0.0.1:18101"]}
policy: {name: first_correct}
"""


def test_a_core_decides_and_hands_its_knowledge_to_another() -> None:
    """The router plans by the settings; what one core learned, a fresh one restores."""
    settings = parse_settings(TEXT, Path("fleet.yaml"))
    first, second = (assemble(settings, np.random.default_rng(1)) for _ in range(2))
    plan = first.router.route(RequestFacts(api=Api.CHAT_COMPLETIONS, model="m"), now=0.0, decision_id="1")
    text = TextProfile(((Category.ENGLISH, 400),))
    for _ in range(40):
        first.estimators.outputs.learn("m", text, 900, was_cut=False)
        first.estimators.quality.learn_against("m", expected=0.7, correct=False)
    for name, (state, _) in first.learned.items():
        second.learned[name][1](state())

    assert ("127.0.0.1:18101", "threshold:first_correct") == (plan.attempts[0].address, plan.reason)
    assert plan.attempts[0].chance is not None
    assert 0.6 < plan.attempts[0].chance < 0.8
    assert first.estimators.outputs.predict("m", text, 0.5) == second.estimators.outputs.predict(
        "m", text, 0.5
    )
    assert 40 == second.estimators.quality.samples("m")
