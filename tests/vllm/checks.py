"""What the gateway must do in front of two real vLLM servers, the short one of 2,048 and the long one of 16,384 tokens."""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from tests.proof import Answer, Finding, call, until
from tests.vllm.server import ALIAS, MODEL, VllmServer

CHAT = "/v1/chat/completions"
PROSE = "The quick brown fox jumps over the lazy dog. "
LOAD_REQUESTS = 16
LOAD_CONCURRENCY = 4
LESSONS = 30
"""Overflows that the estimator may need, at most, until it knows this kind of text."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The gateway and the two servers behind it."""

    gateway: tuple[str, int]
    envoy_admin: tuple[str, int]
    service_admin: tuple[str, int]
    short: VllmServer
    long: VllmServer

    def chat(self, prompt: str, headers: dict[str, str] | None = None, **fields: object) -> Answer:
        """One chat request to the gateway."""
        messages = [{"role": "user", "content": prompt}]
        body = {"model": ALIAS, "messages": messages, "max_tokens": 8, "temperature": 0, **fields}
        return call(self.gateway, CHAT, body, headers, timeout_seconds=120)

    def tries(self) -> Counter[str]:
        """Tries that Envoy has sent to each server, by Envoy's own count."""
        return self._of_hosts("rq_total")

    def active(self) -> Counter[str]:
        """Tries that each server is working on, by Envoy's own count."""
        return self._of_hosts("rq_active")

    def _of_hosts(self, stat: str) -> Counter[str]:
        names = {self.short.address: "2k", self.long.address: "16k"}
        counts: Counter[str] = Counter()
        for status in call(self.envoy_admin, "/clusters?format=json").json()["cluster_statuses"]:
            for host in status.get("host_statuses", ()):
                place = host["address"].get("socket_address", {})
                name = names.get(f"{place.get('address')}:{place.get('port_value')}")
                if name is not None:
                    counts[name] += sum(int(s.get("value", 0)) for s in host["stats"] if s["name"] == stat)
        return counts

    @contextmanager
    def watched(self) -> Iterator[Counter[str]]:
        """Counts the tries that are made within the block."""
        before, made = self.tries(), Counter[str]()
        yield made
        made.update(self.tries() - before)


def plain(bench: Bench) -> Finding:
    """A plain request is answered by the model's real name, with usage."""
    answer = bench.chat(PROSE)
    body = answer.json()
    passed = answer.status == 200 and body["model"] == MODEL and body["usage"]["completion_tokens"] == 8
    return Finding("chat", passed, f"{answer.status}, model {body.get('model')}, usage {usage_of(body)}")


def streaming(bench: Bench) -> Finding:
    """A streamed request ends with the usage and [DONE]."""
    answer = bench.chat(PROSE, stream=True, stream_options={"include_usage": True}, ignore_eos=True)
    events = answer.events()
    passed = answer.status == 200 and events[-1] == "[DONE]" and '"completion_tokens":8' in events[-2]
    return Finding("streamed chat with include_usage", passed, f"{answer.status}, {len(events)} events")


def short_to_short(bench: Bench) -> Finding:
    """Short requests go to the short server, by its own count and by Envoy's."""
    before, statuses = bench.short.served(), set()
    with bench.watched() as made:
        for _ in range(3):
            # Envoy reports a request's end within 0.1 s. For a server of two sequences that is load meanwhile.
            time.sleep(0.3)
            statuses.add(bench.chat(PROSE).status)
    served = bench.short.served() - before
    passed = statuses == {200} and dict(made) == {"2k": 3} and served == 3
    return Finding(
        "short requests go to the 2k server", passed, f"{statuses}, tries {dict(made)}, 2k served {served}"
    )


def overflow(bench: Bench) -> Finding:
    """A prompt that looks shorter than it is: refused by the short server, answered by the long one, unseen."""
    with bench.watched() as made:
        answer = bench.chat(dense_text(seed=1))
    passed = answer.status == 200 and made == {"2k": 1, "16k": 1} and prompt_tokens(answer) > 2048
    observed = f"{answer.status}, {prompt_tokens(answer)} prompt tokens, tries {dict(made)}"
    return Finding("overflow: 400 by the 2k, then the 16k", passed, observed)


def overflow_teaches(bench: Bench) -> Finding:
    """After some overflows such text goes to the long server at once."""
    for lesson in range(2, LESSONS + 1):
        with bench.watched() as made:
            status = bench.chat(dense_text(seed=lesson)).status
        if status != 200:
            return Finding(
                "overflows teach the estimator", passed=False, observed=f"{status} in lesson {lesson}"
            )
        if made == {"16k": 1}:
            return Finding(
                "overflows teach the estimator", passed=True, observed=f"straight to the 16k at no. {lesson}"
            )
    return Finding("overflows teach the estimator", passed=False, observed=f"still to the 2k after {LESSONS}")


def long_to_long(bench: Bench) -> Finding:
    """A long prompt goes to the long server at once."""
    with bench.watched() as made:
        answer = bench.chat(PROSE * 500)
    passed = answer.status == 200 and made == {"16k": 1} and prompt_tokens(answer) > 2048
    observed = f"{answer.status}, {prompt_tokens(answer)} prompt tokens, tries {dict(made)}"
    return Finding("a long request goes to the 16k server", passed, observed)


def too_long(bench: Bench) -> Finding:
    """A prompt that fits nowhere is refused without asking a server."""
    with bench.watched() as made:
        answer = bench.chat(PROSE * 8000)
    message = str(answer.json()["error"]["message"])
    return Finding(
        "too long for both: refused", answer.status == 400 and not made, f"{answer.status}, {message[:100]}"
    )


def trace(bench: Bench) -> Finding:
    """Envoy's and the service's spans of a request hang together."""
    trace_id = secrets.token_hex(16)
    bench.chat(PROSE, {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"})

    def whole() -> str | None:
        page = call(bench.service_admin, "/traces?last=50").json()
        trees = page["traces"] if isinstance(page, dict) else page
        found = [tree for tree in trees if tree["trace_id"] == trace_id and tree["is_joined"]]
        return f"{found[0]['span_count']} spans of {', '.join(found[0]['services'])}" if found else None

    observed = until(whole, 15)
    return Finding("one joined trace", observed is not None, observed or f"trace {trace_id} is not whole")


def killed(bench: Bench, kill: Callable[[], None]) -> Finding:
    """With the short server killed under load, every request is answered, by retries and then by avoidance."""
    answered = threading.Semaphore(0)

    def one(_: int) -> int:
        status = bench.chat(PROSE, max_tokens=200, ignore_eos=True).status
        answered.release()
        return status

    with bench.watched() as made, ThreadPoolExecutor(LOAD_CONCURRENCY) as pool:
        answers = pool.map(one, range(LOAD_REQUESTS))
        for _ in range(LOAD_CONCURRENCY):
            answered.acquire(timeout=60)
        in_flight = until(lambda: bench.active()["2k"] or None, 10)
        kill()
        statuses = Counter(answers)
    observed = f"{dict(statuses)}; {in_flight} of them were at the 2k when it died; tries {dict(made)}"
    passed = statuses == {200: LOAD_REQUESTS} and in_flight is not None
    return Finding(f"2k server killed under {LOAD_REQUESTS} requests", passed, observed)


def dense_text(seed: int) -> str:
    """Words that no tokenizer has seen: 2,700 bytes of them look like less than 1,000 tokens and are about 2,400."""
    letters, dice = "bcdfghjkmpqvwxz", random.Random(seed)
    return " ".join("".join(dice.choices(letters, k=dice.randint(3, 8))) for _ in range(420))


def prompt_tokens(answer: Answer) -> int:
    """Prompt tokens as vLLM counted them; 0 when it did not answer."""
    return int(answer.json()["usage"]["prompt_tokens"]) if answer.status == 200 else 0


def usage_of(body: dict[str, dict[str, int]]) -> str:
    """Prompt and output tokens of an answer."""
    usage = body.get("usage", {})
    return f"{usage.get('prompt_tokens')} + {usage.get('completion_tokens')}"
