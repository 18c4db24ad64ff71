"""What was learned of one cluster's latencies and of its instances, and how one finished request teaches it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from extproc.estimate.latency_filter import LEVELS, Floats, InstanceFactor, LatencyLaw, Target, level_of
from extproc.estimate.latency_records import LoadAtDecision
from extproc.estimate.latency_spread import ResidualSpread
from extproc.estimate.stored import as_name, as_numbers, as_object

TTFT_SPREADS = (0.35, 0.5, 0.8)
TOTAL_SPREADS = (0.3, 0.4, 0.6)
"""Deviation of the logarithm of observed over predicted before any was observed, by level of load."""

LENGTHS_START = (512.0, 256.0)
"""Mean prompt and output tokens before any were observed."""

LENGTHS_MEMORY = 200.0
"""Requests that the mean lengths are made of."""

FEW_ITERATIONS = 0.25
"""Variance that the decoding's logarithm has beyond its noise when it took one iteration; it falls with their number."""


class InstanceLatency:
    """What was learned of one instance beside its cluster.

    Attributes:
        cluster: Name of the cluster that the factors are relative to.
        ttft: Factor to the cluster's time to the first token.
        decode: Factor to the cluster's decoding.
    """

    __slots__ = ("cluster", "decode", "ttft")

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.ttft = InstanceFactor()
        self.decode = InstanceFactor()

    def state(self) -> dict[str, object]:
        """A JSON-able copy of all that was learned."""
        return {"cluster": self.cluster, "ttft": self.ttft.state(), "decode": self.decode.state()}

    @classmethod
    def restored(cls, state: object) -> InstanceLatency:
        """Rebuild from `state()`.

        Raises:
            ValueError: The state is malformed; the text says what.
        """
        stored = as_object(state, "instance")
        instance = cls(as_name(stored.get("cluster"), "cluster"))
        instance.ttft = InstanceFactor.restored(stored.get("ttft"), "ttft")
        instance.decode = InstanceFactor.restored(stored.get("decode"), "decode")
        return instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One finished request.

    Attributes:
        load: As it was decided.
        to_first: Units of each part until the first token.
        decoding: Units of each part from the first token to the last, by the load at the decision; None when the
            answer's length is not known.
        decoding_meanwhile: The same by the mean load while it was there; None when not known.
        iterations: Tokens after the first.
        ttft_seconds: To the first token; None when it is not known.
        e2e_seconds: To the last token.
    """

    load: LoadAtDecision
    to_first: Floats
    decoding: Floats | None
    decoding_meanwhile: Floats | None
    iterations: int
    ttft_seconds: float | None
    e2e_seconds: float

    @property
    def predicted_seconds(self) -> float:
        """Total that was predicted at the decision, given the answer's length."""
        return self.load.ttft_seconds + self.iterations * self.load.iteration_seconds

    @property
    def ttft_level(self) -> int:
        """Level of load of the time to the first token."""
        return level_of(self.load.ttft_alone_seconds, self.load.ttft_seconds)

    @property
    def total_level(self) -> int:
        """Level of load of the total."""
        alone = self.load.ttft_alone_seconds + self.iterations * self.load.iteration_alone_seconds
        return level_of(alone, self.predicted_seconds)


class ClusterLatency:
    """What was learned of one cluster.

    Load at the decision predicts, but does not cause, what a request meets later: a crowded instance empties, an
    empty one fills up. A law fitted on it finds H too small, so a second one is fitted on the mean load while
    the request was there. The first one predicts; the second one prices what a request does to others.

    Attributes:
        law: What each part of a latency costs, by the load at the decision.
        causal_law: What each part of decoding costs, by the load meanwhile.
        ttft_spreads: How far times to the first token lie from their predictions, by level of load.
        total_spreads: The same for totals.
        prompt_tokens: Mean of its requests.
        output_tokens: Mean of its answers.
    """

    __slots__ = ("causal_law", "law", "output_tokens", "prompt_tokens", "total_spreads", "ttft_spreads")

    def __init__(self, prior_seconds: Floats) -> None:
        self.law = LatencyLaw(prior_seconds)
        self.causal_law = LatencyLaw(prior_seconds)
        self.ttft_spreads = [ResidualSpread(deviation) for deviation in TTFT_SPREADS]
        self.total_spreads = [ResidualSpread(deviation) for deviation in TOTAL_SPREADS]
        self.prompt_tokens, self.output_tokens = LENGTHS_START

    def rebase(self, prior_seconds: Floats) -> None:
        """Take over another prior; the learned seconds stay, as far as the new bounds allow."""
        self.law.rebase(prior_seconds)
        self.causal_law.rebase(prior_seconds)

    def learn_lengths(self, prompt_tokens: int, output_tokens: int) -> None:
        """Follow the mean lengths; the first ones count more."""
        weight = max(1.0 / LENGTHS_MEMORY, 1.0 / (2.0 + self.law.samples))
        self.prompt_tokens += weight * (prompt_tokens - self.prompt_tokens)
        self.output_tokens += weight * (max(1, output_tokens) - self.output_tokens)

    def teach(self, instance: InstanceLatency, lesson: Lesson, siblings: int) -> None:
        """Learn from one finished request of `instance`, one of `siblings`, which is changed in place.

        The spreads learn how far the prediction of the decision was off: by its end the law has learned from
        others that met the same load, and would look better than it was.
        """
        level = lesson.ttft_level
        if lesson.ttft_seconds is not None:
            self.ttft_spreads[level].learn(math.log(lesson.ttft_seconds / lesson.load.ttft_seconds))
            self.law.learn(
                lesson.to_first,
                lesson.ttft_seconds,
                Target.TTFT,
                instance.ttft,
                level=level,
                siblings=siblings,
            )
        if lesson.decoding is None:
            return
        level = lesson.total_level
        self.total_spreads[level].learn(math.log(lesson.e2e_seconds / lesson.predicted_seconds))
        if lesson.ttft_seconds is None:
            units = lesson.to_first + lesson.decoding
            if lesson.decoding_meanwhile is not None:
                self.causal_law.learn(
                    lesson.to_first + lesson.decoding_meanwhile,
                    lesson.e2e_seconds,
                    Target.TOTAL,
                    replace(instance.decode),
                    level=level,
                    siblings=siblings,
                )
            self.law.learn(
                units, lesson.e2e_seconds, Target.TOTAL, instance.decode, level=level, siblings=siblings
            )
            return
        self._teach_decoding(instance, lesson, lesson.decoding, siblings)

    def _teach_decoding(
        self, instance: InstanceLatency, lesson: Lesson, decoding: Floats, siblings: int
    ) -> None:
        seconds = lesson.e2e_seconds - (lesson.ttft_seconds or 0.0)
        if lesson.iterations == 0 or seconds <= 0.0:
            return
        level, excess = lesson.total_level, FEW_ITERATIONS / lesson.iterations
        if lesson.decoding_meanwhile is not None:
            self.causal_law.learn(
                lesson.decoding_meanwhile,
                seconds,
                Target.DECODE,
                replace(instance.decode),
                level=level,
                siblings=siblings,
                excess=excess,
            )
        self.law.learn(
            decoding,
            seconds,
            Target.DECODE,
            instance.decode,
            level=level,
            siblings=siblings,
            excess=excess,
        )

    def log_quantiles(self, quantile: float) -> list[float]:
        """Logarithms of observed over predicted that a share `quantile` stays within, TTFT first, by level."""
        return [spread.quantile(quantile) for spread in (*self.ttft_spreads, *self.total_spreads)]

    def state(self) -> dict[str, object]:
        """A JSON-able copy of all that was learned."""
        return {
            "law": self.law.state(),
            "causal_law": self.causal_law.state(),
            "ttft_spreads": [spread.state() for spread in self.ttft_spreads],
            "total_spreads": [spread.state() for spread in self.total_spreads],
            "lengths": [float(f"{self.prompt_tokens:.6g}"), float(f"{self.output_tokens:.6g}")],
        }

    @classmethod
    def restored(cls, state: object) -> ClusterLatency:
        """Rebuild from `state()`.

        Raises:
            ValueError: The state is malformed; the text says what.
        """
        stored = as_object(state, "cluster")
        law = LatencyLaw.restored(stored.get("law"), "law")
        cluster = cls(law.prior_seconds)
        cluster.law = law
        cluster.causal_law = LatencyLaw.restored(stored.get("causal_law"), "causal_law")
        for name in ("ttft_spreads", "total_spreads"):
            spreads: list[ResidualSpread] = getattr(cluster, name)
            found = stored.get(name)
            if not isinstance(found, list) or len(found) != LEVELS:
                raise ValueError(f"{name}: expected {LEVELS} lists")
            for level, (spread, weights) in enumerate(zip(spreads, found, strict=True)):
                spread.restore(weights, f"{name}[{level}]")
        prompt, output = as_numbers(stored.get("lengths"), 2, "lengths")
        if prompt < 0.0 or output < 1.0:
            raise ValueError(
                f"lengths: expected prompt tokens of at least 0 and output of at least 1, got {prompt}, {output}"
            )
        cluster.prompt_tokens, cluster.output_tokens = prompt, output
        return cluster
