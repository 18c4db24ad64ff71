"""The `/metrics` page under vLLM 0.32's names, labels and buckets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from loadgen.engine.core import Engine
from loadgen.engine.records import Completion, DecodeGap

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"

_TTFT = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
_TOKEN_GAP = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
_LATENCY = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
FINISHED_REASONS = ("stop", "length", "abort", "error", "repetition")

_HISTOGRAMS = (
    ("time_to_first_token_seconds", "Histogram of time to first token in seconds.", _TTFT),
    ("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", _TOKEN_GAP),
    ("request_time_per_output_token_seconds", "Histogram of time per output token per request.", _TOKEN_GAP),
    ("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", _LATENCY),
    ("request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", _LATENCY),
    ("request_inference_time_seconds", "Histogram of time spent in RUNNING phase for request.", _LATENCY),
    ("request_prefill_time_seconds", "Histogram of time spent in PREFILL phase for request.", _LATENCY),
    ("request_decode_time_seconds", "Histogram of time spent in DECODE phase for request.", _LATENCY),
)


def token_buckets(max_model_len: int) -> tuple[float, ...]:
    """1, 2, 5, 10, 20, 50… up to the context length, as vLLM builds its token histograms."""
    steps = (mantissa * 10**exponent for exponent in range(12) for mantissa in (1, 2, 5))
    return tuple(float(step) for step in steps if step <= max_model_len)


class Histogram:
    """A Prometheus histogram with fixed upper bounds."""

    def __init__(self, name: str, help_text: str, bounds: tuple[float, ...]) -> None:
        self.name = name
        self.help_text = help_text
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, weight: int = 1) -> None:
        """Count `weight` observations of a value."""
        self._counts[bisect_left(self._bounds, value)] += weight
        self._sum += value * weight

    def lines(self, label: str) -> Iterator[str]:
        """The exposition; `label` is the label set without braces."""
        yield f"# HELP vllm:{self.name} {self.help_text}"
        yield f"# TYPE vllm:{self.name} histogram"
        total = 0
        engine, _, model = label.partition(",")
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            yield f'vllm:{self.name}_bucket{{{engine},le="{bound}",{model}}} {float(total)}'
        yield f"vllm:{self.name}_count{{{label}}} {float(total)}"
        yield f"vllm:{self.name}_sum{{{label}}} {self._sum}"


class EngineMetrics:
    """Counters and histograms of one instance; times in real seconds, as a client of the instance sees them."""

    def __init__(self, model: str, max_model_len: int) -> None:
        self._label = f'engine="0",model_name="{model}"'
        self._model = model
        tokens = token_buckets(max_model_len)
        shapes = (
            *_HISTOGRAMS,
            ("request_prompt_tokens", "Number of prefill tokens processed.", tokens),
            ("request_generation_tokens", "Number of generation tokens processed.", tokens),
        )
        self._histograms = {name: Histogram(name, text, bounds) for name, text, bounds in shapes}
        self._finished = dict.fromkeys(FINISHED_REASONS, 0)
        self._rejections = 0

    def observe_completion(self, done: Completion, finish_reason: str, time_scale: float) -> None:
        """Count a finished sequence; `time_scale` is simulated seconds per real second, and times are told in real ones."""
        decode = done.finished_seconds - done.first_token_seconds
        times = {
            "time_to_first_token_seconds": done.first_token_seconds - done.submitted_seconds,
            "e2e_request_latency_seconds": done.finished_seconds - done.submitted_seconds,
            "request_queue_time_seconds": done.scheduled_seconds - done.submitted_seconds,
            "request_inference_time_seconds": done.finished_seconds - done.scheduled_seconds,
            "request_prefill_time_seconds": done.first_token_seconds - done.scheduled_seconds,
            "request_decode_time_seconds": decode,
        }
        if done.output_tokens > 1:
            times["request_time_per_output_token_seconds"] = decode / (done.output_tokens - 1)
        for name, seconds in times.items():
            self._histograms[name].observe(seconds / time_scale)
        self._histograms["request_prompt_tokens"].observe(done.prompt_tokens)
        self._histograms["request_generation_tokens"].observe(done.output_tokens)
        self._finished[finish_reason] += 1

    def observe_gaps(self, gaps: Iterable[DecodeGap]) -> None:
        """Count the times between consecutive tokens."""
        histogram = self._histograms["inter_token_latency_seconds"]
        for gap in gaps:
            histogram.observe(gap.seconds, gap.tokens)

    def count_abort(self) -> None:
        """Count a request whose client went away."""
        self._finished["abort"] += 1

    def count_rejection(self) -> None:
        """Count a request that met a full queue."""
        self._rejections += 1

    def render(self, engine: Engine) -> str:
        """The page, with the engine's gauges as they are now."""
        lines = [*self._engine_lines(engine), *self._counter_lines()]
        for histogram in self._histograms.values():
            lines.extend(histogram.lines(self._label))
        lines.append("")
        return "\n".join(lines)

    def _engine_lines(self, engine: Engine) -> Iterator[str]:
        totals = engine.totals
        series = (
            (
                "num_requests_running",
                "gauge",
                "Number of requests in model execution batches.",
                engine.running,
            ),
            ("num_requests_waiting", "gauge", "Number of requests waiting to be processed.", engine.waiting),
            ("kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.", engine.kv_usage),
            ("prefix_cache_queries_total", "counter", "Prefix cache queries, in queried tokens.", 0),
            ("prefix_cache_hits_total", "counter", "Prefix cache hits, in cached tokens.", 0),
            ("num_preemptions_total", "counter", "Cumulative number of preemption.", totals.preemptions),
            ("prompt_tokens_total", "counter", "Number of prefill tokens processed.", totals.prompt_tokens),
            ("generation_tokens_total", "counter", "Number of generation tokens.", totals.generation_tokens),
        )
        for name, kind, text, value in series:
            yield f"# HELP vllm:{name} {text}"
            yield f"# TYPE vllm:{name} {kind}"
            yield f"vllm:{name}{{{self._label}}} {float(value)}"
        config = engine.config
        tokens = config.kv_blocks * config.block_size
        yield "# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig"
        yield "# TYPE vllm:cache_config_info gauge"
        yield (
            f'vllm:cache_config_info{{block_size="{config.block_size}",enable_prefix_caching="False",engine="0",'
            f'kv_cache_max_concurrency="{tokens / config.max_model_len}",kv_cache_size_tokens="{tokens}",'
            f'num_cpu_blocks="None",num_gpu_blocks="{config.kv_blocks}",num_gpu_blocks_override="None"}} 1.0'
        )

    def _counter_lines(self) -> Iterator[str]:
        yield "# HELP vllm:request_success_total Count of successfully processed requests."
        yield "# TYPE vllm:request_success_total counter"
        for reason, count in self._finished.items():
            yield (
                f'vllm:request_success_total{{engine="0",finished_reason="{reason}",'
                f'model_name="{self._model}"}} {float(count)}'
            )
        yield "# HELP vllm:admission_rejections_total Number of admission attempts rejected by a queue limit."
        yield "# TYPE vllm:admission_rejections_total counter"
        yield (
            f'vllm:admission_rejections_total{{model_name="{self._model}",reason="max_num_queued_reqs"}} '
            f"{float(self._rejections)}"
        )
