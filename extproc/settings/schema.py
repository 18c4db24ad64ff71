"""The fleet file as a tree of frozen models: every field with its unit, range and default.

`docs/fleet-file.md` is written from these descriptions; `consistency` holds the rules that span several fields.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from extproc.fleet.topology import Cluster, Fleet, Instance, Pool, Price, Speed
from extproc.settings.address import SELF, IpPort, ListenAddress, OtlpEndpoint
from extproc.settings.objective import (
    NotNegative,
    ObjectiveSettings,
    OverridesSettings,
    Positive,
    QualityNormName,
    Seconds,
    Share,
)
from extproc.settings.quality import QualitySettings
from extproc.settings.section import Section
from extproc.settings.verification import VerificationSettings

AUTO = "auto"
"""Alias for every model; there unless the file defines it otherwise."""

MOST_ATTEMPTS = 10
"""Tries of one request that a fleet file may allow."""

MOST_COUNT = 1_000_000_000
"""Largest count of tokens, sequences or retries: fits Envoy's uint32, and leaves the fleet's int64 room to add."""

RESERVED_CLUSTER_NAMES = ("fleet", "fleet_named", "fleet_stand_in", "extproc", "otlp")
"""Envoy clusters that the gateway makes itself."""

PASSTHROUGH = (
    "/health",
    "/ping",
    "/version",
    "/tokenize",
    "/detokenize",
    "/pooling",
    "/classify",
    "/score",
    "/v1/score",
    "/rerank",
    "/v1/rerank",
    "/v2/rerank",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/messages/count_tokens",
    "/v1/responses/",
)
"""Paths of vLLM's server that answer questions, and change nothing for others."""

PathPrefix = Annotated[
    str,
    Field(
        pattern=r"^/[A-Za-z0-9._~/-]*$",
        max_length=200,
        json_schema_extra={"x-expected": "a path that begins with '/', without a query"},
    ),
]

Name = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        json_schema_extra={"x-expected": "a name of 1 to 63 letters, digits, '.', '_' or '-'"},
    ),
]
ModelName = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^\S+$")]


class PolicyName(StrEnum):
    """How an instance is chosen among those that may serve."""

    LEAST_WORK = "least_work"
    FIRST_CORRECT = "first_correct"
    ROUTE_BALANCE = "route_balance"
    LAAR = "laar"
    LOAD_AWARE = "load_aware"
    SESSION_AFFINITY = "session_affinity"
    DUAL_POOL = "dual_pool"
    SHORTEST_QUEUE = "shortest_queue"
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"


class GatewaySettings(Section):
    """Envoy."""

    listen: IpPort = Field(default="127.0.0.1:10000", description="Where clients connect.")
    admin: IpPort = Field(
        default="127.0.0.1:9901", description="Envoy's admin interface. Keep it off public networks."
    )
    endpoints_directory: str = Field(
        default="out/run/endpoints",
        min_length=1,
        description="Directory through which the service hands instances to Envoy (file-based EDS). "
        "A relative path is relative to the directory that both are started in.",
    )
    max_body_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=64 * 1024,
        le=256 * 1024 * 1024,
        description="Largest request body, in bytes; a larger one gets 413. Also the largest plain (not streamed) "
        "answer. 1M tokens are about 4 MB of English.",
    )
    concurrency: int = Field(
        default=2, ge=1, le=256, description="Envoy's worker threads (its `--concurrency`)."
    )
    passthrough: tuple[PathPrefix, ...] = Field(
        default=PASSTHROUGH,
        strict=False,
        description="Further paths that clients may ask instances for, beside the APIs that the service understands; one that "
        "ends with `/` stands for all that begin so, `/` for everything. All others get 404: vLLM serves what only operators "
        "should reach (`/pause`, `/sleep`, `/load_lora_adapter`, `/metrics`) on the same port.",
    )


class ServiceSettings(Section):
    """The routing service."""

    listen: ListenAddress = Field(
        default="127.0.0.1:50051",
        description="Where Envoy reaches the service by gRPC (ext_proc, access log, OTLP).",
    )
    admin: IpPort = Field(
        default="127.0.0.1:9090",
        description="The service's HTTP interface: health, metrics, each instance's load, traces (docs/operation.md).",
    )
    state_file: str = Field(
        default="out/run/state.json",
        min_length=1,
        description="What was learned (bytes per token, output lengths); survives a restart. "
        "A relative path is relative to the directory that the service is started in.",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=30.0,
        description="After SIGTERM, longest wait for the answers that are still to be verified, in seconds; those left then "
        "arrive unverified. Before that, up to 3 s pass until every Envoy knows that the service ends. 0: neither. "
        "May be edited while everything runs.",
    )


class TelemetrySettings(Section):
    """Traces."""

    otlp_endpoint: OtlpEndpoint = Field(
        default=SELF,
        description="OTLP/gRPC receiver of spans. `self` is the service's own bounded in-memory one, which "
        "`ttca traces` reads.",
    )
    sample_ratio: Share = Field(
        default=1.0,
        description="Share of traces to record, for requests that bring no `traceparent`; with one, the caller's "
        "sampled flag decides.",
    )
    service_name: str = Field(
        default="ttca-gateway", min_length=1, description="`service.name` of Envoy's spans."
    )


class PoolSettings(Section):
    """Clusters grouped by the context they are configured for."""

    name: Name = Field(description="Name of the pool, unique.")
    threshold_tokens: Annotated[int, Field(ge=1, le=MOST_COUNT)] | None = Field(
        default=None,
        description="Token budgets (prompt + output) up to this prefer the pool, in tokens. Ascending from pool to "
        "pool; null for the last one, and only for it.",
    )
    spill_at: Positive = Field(
        default=0.85,
        description="Mean pressure ((running + waiting) / max_num_seqs) of the pool's instances from which on "
        "requests go to another pool that can hold them.",
    )


class PriceSettings(Section):
    """Price in US dollars per million tokens."""

    input: NotNegative = Field(description="US dollars per million prompt tokens.")
    output: NotNegative = Field(description="US dollars per million output tokens.")


class SpeedSettings(Section):
    """Iteration-time model of one instance: a decode step over n sequences takes W + H·n seconds."""

    iteration_base_seconds: Positive = Field(
        default=0.008, description="W, the fixed part of one iteration, in seconds."
    )
    iteration_per_sequence_seconds: NotNegative = Field(
        default=0.00065, description="H, what each running sequence adds to an iteration, in seconds."
    )
    prefill_tokens_per_second: Positive = Field(
        default=16_000.0, description="Prompt tokens that an otherwise idle instance prefills per second."
    )


class InstanceSettings(Section):
    """One vLLM server: `ip:port`, or a mapping when there is more to say."""

    model_config = ConfigDict(
        json_schema_extra={"x-expected": "ip:port, or a mapping with address and draining"}
    )

    address: IpPort = Field(description="Address, unique in the fleet. Envoy's EDS takes no host names.")
    draining: bool = Field(default=False, description="True: it finishes what it has and gets nothing new.")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        return {"address": value} if isinstance(value, str) else value


class ClusterSettings(Section):
    """The instances that serve one model in one configuration."""

    name: Name = Field(description="Name, unique; also the name of the Envoy cluster.")
    model: ModelName = Field(description="Model name that the instances serve first (`--served-model-name`).")
    pool: Name = Field(description="Name of the pool that the cluster belongs to.")
    max_model_len: int = Field(
        ge=1,
        le=MOST_COUNT,
        description="Most tokens (prompt + output) of one sequence: vLLM's `--max-model-len`.",
    )
    max_num_seqs: int = Field(
        ge=1,
        le=MOST_COUNT,
        description="Most sequences that one instance runs at once: vLLM's `--max-num-seqs`.",
    )
    price_usd_per_mtok: PriceSettings = Field(description="Price in US dollars per million tokens.")
    quality_prior: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Share of ordinary requests that the model answers correctly, before anything was learned; null: "
        "0.6. Counts for policies that weigh quality.",
    )
    speed: SpeedSettings = Field(
        default_factory=SpeedSettings, description="How fast one instance is, before anything was measured."
    )
    instances: tuple[InstanceSettings, ...] = Field(
        strict=False, description="The instances. May be edited while everything runs."
    )


class PolicySettings(Section):
    """The choice of an instance."""

    name: PolicyName = Field(
        default=PolicyName.LEAST_WORK,
        strict=False,
        description="`first_correct`: the sequence of models that promises most for its time, others' delay and money; "
        "`route_balance`: the largest weighted sum of chance, latency and price; "
        "`laar`: least latency over chance; `load_aware`: least latency; `session_affinity`: whoever answered the "
        "session before; `least_work`: the least predicted work, dead-reckoned between scrapes; `dual_pool`: another name "
        "of `least_work`, since pools come before any policy; "
        "`shortest_queue`: the fewest requests in flight; `round_robin`, `random`: baselines.",
    )
    quality_norm: QualityNormName = Field(
        default=QualityNormName.RAW,
        strict=False,
        description="How chances enter the sum of `route_balance`: `raw`, or `minmax`: stretched to 0..1 over the "
        "request's candidates, so that small differences count.",
    )


class BudgetSettings(Section):
    """What one request may take."""

    request_timeout_seconds: Seconds = Field(
        default=300.0, description="For a whole request, retries included, in seconds."
    )
    per_try_timeout_seconds: Seconds | None = Field(
        default=None,
        description="For one try until its answer is complete, in seconds; null: only the whole is bounded. "
        "It ends streams too, so leave room for the longest one.",
    )
    deadline_seconds: Seconds | None = Field(
        default=None,
        description="When an answer stops being useful, in seconds, for requests that do not say so themselves "
        "(`x-ttca-deadline-ms`); null: never.",
    )
    max_attempts: int = Field(
        default=3, ge=1, le=MOST_ATTEMPTS, description="Most tries of one request, the first included."
    )
    retry_budget_percent: float = Field(
        default=50.0,
        ge=0,
        le=100,
        description="Retries at once, as a percentage of a cluster's requests in flight. A retry counts until its "
        "answer is complete, which takes seconds: a budget below the share of one instance cannot cover its loss. Above "
        "50 nothing is limited for plans that verify answers or cross clusters: Envoy cannot express it there.",
    )
    min_retry_concurrency: int = Field(
        default=10,
        ge=0,
        le=MOST_COUNT,
        description="Retries at once that are always allowed, however idle the cluster.",
    )
    output_quantile: float = Field(
        default=0.9,
        gt=0,
        lt=1,
        description="Quantile of the learned output length to provide for when the client names no limit.",
    )
    max_output_tokens: Annotated[int, Field(ge=1, le=MOST_COUNT)] | None = Field(
        default=None,
        description="Most output tokens to provide for when the client names no limit; null: no bound but the "
        "instance's `max_model_len`.",
    )


class ScrapeSettings(Section):
    """Reading each instance's `/metrics`."""

    interval_seconds: Seconds = Field(
        default=1.0, description="Time between two scrapes of an instance, in seconds."
    )
    timeout_seconds: Seconds = Field(
        default=0.8, description="For one scrape, in seconds; at most the interval."
    )
    jitter: Share = Field(
        default=0.2, description="Share of the interval by which a scrape is moved at random."
    )


class Settings(Section):
    """Everything that an operator decides, as the fleet file states it."""

    version: Literal[1] = Field(description="Version of the file's format.")
    gateway: GatewaySettings = Field(default_factory=GatewaySettings, description="Envoy.")
    service: ServiceSettings = Field(default_factory=ServiceSettings, description="The routing service.")
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings, description="Traces.")
    pools: tuple[PoolSettings, ...] = Field(
        strict=False, min_length=1, description="Pools, ascending by threshold; the last is unbounded."
    )
    clusters: tuple[ClusterSettings, ...] = Field(strict=False, min_length=1, description="Clusters.")
    aliases: dict[ModelName, Annotated[tuple[ModelName, ...], Field(strict=False, min_length=1)]] = Field(
        default_factory=dict,
        description="Names that clients may ask for, and the models each stands for. `auto` stands for all models "
        "unless it is defined here.",
    )
    policy: PolicySettings = Field(default_factory=PolicySettings, description="The choice of an instance.")
    budgets: BudgetSettings = Field(default_factory=BudgetSettings, description="What one request may take.")
    objective: ObjectiveSettings = Field(
        default_factory=ObjectiveSettings, description="What `first_correct` and `route_balance` weigh."
    )
    overrides: OverridesSettings = Field(
        default_factory=OverridesSettings, description="What clients may weigh otherwise."
    )
    verification: VerificationSettings = Field(
        default_factory=VerificationSettings, description="Verification of plain answers."
    )
    quality: QualitySettings = Field(
        default_factory=QualitySettings, description="What is known of the models' answers beforehand."
    )
    scrape: ScrapeSettings = Field(default_factory=ScrapeSettings, description="Reading `/metrics`.")

    def fleet(self) -> Fleet:
        """Hand the fleet to the core, `auto` included among the aliases."""
        models = tuple(dict.fromkeys(cluster.model for cluster in self.clusters))
        return Fleet(
            clusters=tuple(_cluster(cluster) for cluster in self.clusters),
            pools=tuple(
                Pool(name=pool.name, threshold_tokens=pool.threshold_tokens, spill_at=pool.spill_at)
                for pool in self.pools
            ),
            aliases={AUTO: models} | self.aliases,
        )


def _cluster(settings: ClusterSettings) -> Cluster:
    price, speed = settings.price_usd_per_mtok, settings.speed
    return Cluster(
        name=settings.name,
        model=settings.model,
        pool=settings.pool,
        max_model_len=settings.max_model_len,
        max_num_seqs=settings.max_num_seqs,
        price=Price(input_usd_per_mtok=price.input, output_usd_per_mtok=price.output),
        quality_prior=settings.quality_prior,
        speed=Speed(
            iteration_base_seconds=speed.iteration_base_seconds,
            iteration_per_sequence_seconds=speed.iteration_per_sequence_seconds,
            prefill_tokens_per_second=speed.prefill_tokens_per_second,
        ),
        instances=tuple(
            Instance(address=item.address, draining=item.draining) for item in settings.instances
        ),
    )
