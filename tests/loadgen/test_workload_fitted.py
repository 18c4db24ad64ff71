from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pytest

from loadgen.data import data_folder
from loadgen.workload.distribution import AgentTraffic, Quantiles, RequestTraffic
from loadgen.workload.fit import SOURCES, fit
from loadgen.workload.fitted import FITTED
from loadgen.workload.generators import generate
from loadgen.workload.listing import repeated_share
from loadgen.workload.traces import Trace, read_trace

REQUESTS = sorted(name for name, traffic in FITTED.items() if isinstance(traffic, RequestTraffic))
AGENTS = sorted(name for name, traffic in FITTED.items() if isinstance(traffic, AgentTraffic))


def request_traffic(name: str) -> RequestTraffic:
    """Figures of a service."""
    traffic = FITTED[name]
    assert isinstance(traffic, RequestTraffic)
    return traffic


def agent_traffic(name: str) -> AgentTraffic:
    """Figures of an agent."""
    traffic = FITTED[name]
    assert isinstance(traffic, AgentTraffic)
    return traffic


def assert_follows(table: Quantiles, values: Sequence[float], *, rel: float) -> None:
    """The quantiles of `values` between 5 % and 95 % are those of `table`."""
    middle = [p for p in table.probabilities if 0.05 <= p <= 0.95]
    drawn = np.quantile(values, middle)
    expected = table.at(np.array(middle))
    assert expected.tolist() == pytest.approx(drawn.tolist(), rel=rel, abs=1.0)


def test_every_source_has_its_figures() -> None:
    """There are figures for each trace that can be fitted, and for no other."""
    assert set(SOURCES) == set(FITTED)


@pytest.mark.parametrize("name", SOURCES)
def test_the_figures_are_those_that_the_fit_derives(name: str) -> None:
    """Fitting the recording again gives the declared figures; where there is none, fitting what they generate
    gives back the same sizes.
    """
    folder = data_folder(os.environ)
    if folder is not None:
        assert FITTED[name] == fit(name, read_trace(name, folder))
    else:
        again = fit(name, generate(FITTED[name], 8000, np.random.default_rng(1)))
        assert FITTED[name].source == again.source
        assert FITTED[name].block_tokens == again.block_tokens


@pytest.mark.parametrize("name", REQUESTS)
def test_generated_requests_follow_the_declared_quantiles(name: str) -> None:
    """Prompt sizes, output sizes by prompt size, and the rate come out as declared."""
    traffic = request_traffic(name)
    trace = generate(traffic, 12_000, np.random.default_rng(3))
    prompts = np.array([call.prompt_tokens for call in trace.calls])
    outputs = np.array([call.output_tokens for call in trace.calls])

    assert_follows(traffic.prompt_tokens, prompts.tolist(), rel=0.03)
    by_size = np.array_split(outputs[np.argsort(prompts, kind="stable")], len(traffic.output_tokens))
    for table, values in zip(traffic.output_tokens, by_size, strict=True):
        assert table.mean() == pytest.approx(values.mean(), rel=0.1)
    cycle = len(traffic.profile) * traffic.step_seconds
    assert traffic.rate == pytest.approx(
        (trace.arrivals < cycle).sum() / min(cycle, trace.arrivals[-1]), rel=0.1
    )


@pytest.mark.parametrize("name", AGENTS)
def test_generated_sessions_follow_the_declared_quantiles(name: str) -> None:
    """Output sizes, gaps and calls per session come out as declared, and prompts repeat what came before."""
    traffic = agent_traffic(name)
    trace = generate(traffic, 6000, np.random.default_rng(4))
    sessions = np.array([call.conversation for call in trace.calls])
    is_inside = np.diff(sessions) == 0
    lengths = np.bincount(sessions)[:-1]

    assert_follows(traffic.output_tokens, [call.output_tokens for call in trace.calls], rel=0.1)
    assert_follows(traffic.gap_seconds, np.diff(trace.arrivals)[is_inside].tolist(), rel=0.1)
    assert traffic.calls.mean() == pytest.approx(lengths.mean(), rel=0.1)
    assert repeated_share(trace.calls) > 0.8


def test_follow_ups_repeat_the_start_of_an_earlier_prompt() -> None:
    """The Mooncake generator repeats about as much of its prompts as the recording (0.37 of the blocks)."""
    trace = generate(FITTED["mooncake_conversation"], 12_000, np.random.default_rng(5))

    assert repeated_share(trace.calls) == pytest.approx(0.37, abs=0.06)
    assert all(len(call.blocks) == call.prompt_tokens // call.block_tokens for call in trace.calls)


@pytest.mark.parametrize("name", SOURCES)
def test_generated_arrivals_start_at_zero_and_ascend(name: str) -> None:
    """A generated workload has as many arrivals as calls, from 0 on, and no size below 1."""
    trace = generate(FITTED[name], 300, np.random.default_rng(6))

    assert len(trace.calls) == len(trace.arrivals) == 300
    assert trace.arrivals[0] == 0
    assert np.all(np.diff(trace.arrivals) >= 0)
    assert min(min(call.prompt_tokens, call.output_tokens) for call in trace.calls) >= 1


def test_the_same_seed_generates_the_same_calls() -> None:
    """Generation depends on the figures and the seed alone."""
    first, second = (generate(FITTED["azure_conv"], 50, np.random.default_rng(9)) for _ in range(2))

    assert first.calls == second.calls


def test_a_workload_of_nothing_is_refused() -> None:
    """Zero calls are a mistake of the caller."""
    with pytest.raises(ValueError, match="at least one"):
        generate(FITTED["azure_conv"], 0, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("probabilities", "values"),
    [
        ((0.0, 1.0), (1.0,)),
        ((0.1, 1.0), (1.0, 2.0)),
        ((0.0, 0.0, 1.0), (1.0, 2.0, 3.0)),
        ((0.0, 1.0), (2.0, 1.0)),
    ],
)
def test_broken_quantile_tables_are_refused(
    probabilities: tuple[float, ...], values: tuple[float, ...]
) -> None:
    """A table must run from 0 to 1 with values that do not descend."""
    with pytest.raises(ValueError, match=r"quantile table|probabilities|descend"):
        Quantiles(probabilities, values)


def test_fitting_something_unknown_is_refused() -> None:
    """The error names what can be fitted."""
    with pytest.raises(ValueError, match="azure_conv"):
        fit("nothing", Trace(np.array([0.0]), ()))
