"""The fleet's engines in virtual time: each is woken when something can have happened in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from extproc.fleet.vllm_metrics import InstanceMetrics
from loadgen.engine.config import EngineConfig
from loadgen.engine.core import Engine
from loadgen.engine.records import Completion, EngineRequest
from loadgen.virtual.events import Events
from loadgen.virtual.prefixes import PrefixStore


class Machines:
    """The engines of a fleet.

    Args:
        configs: Configuration of each engine, by address.
        events: The run's agenda.
        on_answer: Hears of every finished request, at the moment at which it finished.
        keeps_prefixes: True when a prompt that an instance has answered and still holds is not prefilled again.
    """

    def __init__(
        self,
        configs: Mapping[str, EngineConfig],
        events: Events,
        on_answer: Callable[[Completion], None],
        *,
        keeps_prefixes: bool = False,
    ) -> None:
        self._engines = {address: Engine(config) for address, config in configs.items()}
        self._capacity = {
            address: config.kv_blocks * config.block_size for address, config in configs.items()
        }
        self._events = events
        self._on_answer = on_answer
        self._wakes_at: dict[str, float] = {}
        self._prefixes = {address: PrefixStore() for address in configs} if keeps_prefixes else {}
        self._prompts: dict[str, str] = {}

    def submit(
        self, address: str, request_id: str, *, prompt_tokens: int, output_tokens: int, prompt: str = ""
    ) -> None:
        """Send a request to an engine; `prompt` names its prompt, for the prefix cache.

        Raises:
            QueueFullError: Its queue is full.
            ValueError: It is too small for the request.
        """
        engine, store = self._engines[address], self._prefixes.get(address)
        cached = 0
        if store is not None:
            self._look(address)
            cached = store.cached(prompt, round((1.0 - engine.kv_usage) * self._capacity[address]))
        request = EngineRequest(
            request_id=request_id,
            prompt_tokens=prompt_tokens,
            output_tokens=(output_tokens,),
            cached_tokens=cached,
        )
        engine.submit(request, self._events.now)
        if store is not None:
            self._prompts[request_id] = prompt
        self._look(address)

    def abort(self, address: str, request_id: str) -> int:
        """Drop a request; tokens that it had generated, 0 when it is not there."""
        engine = self._engines[address]
        self._look(address)
        try:
            generated = engine.generated(request_id, 0)
        except KeyError:
            return 0
        engine.abort(request_id, self._events.now)
        self._prompts.pop(request_id, None)
        self._look(address)
        return generated

    def metrics(self, address: str) -> InstanceMetrics:
        """What a scrape of the instance would find now."""
        engine = self._engines[address]
        self._look(address)
        return InstanceMetrics(
            running=float(engine.running),
            waiting=float(engine.waiting),
            kv_usage=engine.kv_usage,
            preemptions_total=float(engine.totals.preemptions),
            kv_capacity_tokens=self._capacity[address],
        )

    def busy_seconds(self) -> dict[str, float]:
        """Time that each engine has computed, by address."""
        return {address: engine.totals.busy_seconds for address, engine in self._engines.items()}

    def preemptions(self) -> int:
        """How often a sequence lost its KV blocks, over all engines."""
        return sum(engine.totals.preemptions for engine in self._engines.values())

    def _look(self, address: str) -> None:
        """Take note of what finished up to now, and plan the next wake."""
        engine, now = self._engines[address], self._events.now
        finished = engine.advance(now).completions
        wake = engine.next_event_seconds()
        if wake is not None and self._wakes_at.get(address) != wake:
            self._wakes_at[address] = wake
            self._events.at(wake, partial(self._wake, address, wake))
        for completion in finished:
            if self._prefixes:
                prompt = self._prompts.pop(completion.request_id)
                self._prefixes[address].keep(prompt, completion.prompt_tokens)
            self._on_answer(completion)

    def _wake(self, address: str, planned: float) -> None:
        # A submission or an abort may have moved the moment since.
        if self._wakes_at.get(address) == planned:
            del self._wakes_at[address]
            self._look(address)
