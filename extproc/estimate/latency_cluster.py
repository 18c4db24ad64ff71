"""What was learned of one cluster's latencies and of its instances, and how one finished request teaches it."""

from __future__ import annotations

import math

from extproc.estimate.latency_filter import Floats, InstanceFactor, LatencyLaw, Target
from extproc.estimate.latency_spread import ResidualSpread
from extproc.estimate.stored import as_name, as_object

SPREADS = {"ttft": 0.4, "ttft_queued": 0.8, "total": 0.4, "total_queued": 0.6}
"""Deviation of the logarithm of observed over predicted before any was observed, by what is predicted and when."""

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


class ClusterLatency:
    """What was learned of one cluster.

    Attributes:
        law: What each part of a latency costs.
        spreads: How far latencies lie from their predictions, by name in `SPREADS`.
    """

    __slots__ = ("law", "spreads")

    def __init__(self, law: LatencyLaw) -> None:
        self.law = law
        self.spreads = {name: ResidualSpread(deviation) for name, deviation in SPREADS.items()}

    def teach(
        self,
        instance: InstanceLatency,
        *,
        to_first: Floats,
        decoding: Floats | None,
        is_queued: bool,
        iterations: int,
        ttft_seconds: float | None,
        e2e_seconds: float,
    ) -> None:
        """Learn from one finished request of `instance`.

        Args:
            instance: Changed in place.
            to_first: Units of each part until the first token.
            decoding: Units of each part from the first token to the last; None when its length is not known.
            is_queued: True when no slot was free.
            iterations: Iterations of the decoding.
            ttft_seconds: To the first token; None when it is not known.
            e2e_seconds: To the last token.
        """
        costs = self.law.seconds
        ttft = float(to_first @ costs) * math.exp(instance.ttft.log)
        suffix, offset = ("_queued", 3) if is_queued else ("", 0)
        if ttft_seconds is not None:
            self.spreads["ttft" + suffix].learn(math.log(ttft_seconds / ttft))
        if decoding is not None:
            total = ttft + float(decoding @ costs) * math.exp(instance.decode.log)
            self.spreads["total" + suffix].learn(math.log(e2e_seconds / total))
        if ttft_seconds is not None:
            self.law.learn(to_first, ttft_seconds, Target(Target.TTFT + offset), instance.ttft)
            decode_seconds = e2e_seconds - ttft_seconds
            if decoding is not None and iterations > 0 and decode_seconds > 0.0:
                excess = FEW_ITERATIONS / iterations
                self.law.learn(
                    decoding, decode_seconds, Target(Target.DECODE + offset), instance.decode, excess=excess
                )
        elif decoding is not None:
            self.law.learn(to_first + decoding, e2e_seconds, Target(Target.TOTAL + offset), instance.decode)

    def state(self) -> dict[str, object]:
        """A JSON-able copy of all that was learned."""
        return {
            "law": self.law.state(),
            "spreads": {name: spread.state() for name, spread in self.spreads.items()},
        }

    @classmethod
    def restored(cls, state: object) -> ClusterLatency:
        """Rebuild from `state()`.

        Raises:
            ValueError: The state is malformed; the text says what.
        """
        stored = as_object(state, "cluster")
        cluster = cls(LatencyLaw.restored(stored.get("law")))
        spreads = as_object(stored.get("spreads"), "spreads")
        for name, spread in cluster.spreads.items():
            spread.restore(spreads.get(name), f"spreads.{name}")
        return cluster
