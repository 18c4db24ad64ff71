"""Virtual time with a gate before the decider."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from loadgen.batching.gates import Gate, Job, Rule
from loadgen.questions.question import Question
from loadgen.virtual.deciders import Decider
from loadgen.virtual.fleet import VirtualFleet
from loadgen.virtual.policy import Asked
from loadgen.virtual.simulation import Simulation, Story


class GatedSimulation(Simulation):
    """A run whose every request passes a gate before it is decided on.

    Args:
        fleet: What is routed to.
        decider: Decides.
        rule: How requests are collected.
        length_of: Tokens of a question's answer, expected.
    """

    def __init__(
        self, fleet: VirtualFleet, decider: Decider, *, rule: Rule, length_of: Callable[[Question], float]
    ) -> None:
        super().__init__(fleet, decider)
        self._length_of = length_of
        self._addresses = tuple(fleet.engines)
        self._gate = Gate(rule, self._events, self._queued_share)

    def _ask(self, story: Story, asked: Asked) -> None:
        if asked.rows:  # its client hears how it ended; nothing is to be decided on
            super()._ask(story, asked)
            return
        self._gate.offer(
            Job(length=self._length_of(story.question), decide=partial(super()._ask, story, asked))
        )

    def _queued_share(self) -> float:
        queued = [self._gateway.machines.metrics(address).waiting > 0 for address in self._addresses]
        return sum(queued) / len(queued)
