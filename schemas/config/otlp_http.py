"""`otlp_http`: receivers of OTLP over HTTP, with the keys of the collector's exporter of that name.

Defaults are the collector's too, but for what gives data up: there a queue in memory is full at
some time, and a request has been tried for long enough; here Kafka keeps what waits.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field

from tailrace.schemas.config.receivers import (
    Headers,
    ReceiverName,
    TlsConfig,
    TlsFiles,
    Url,
    ambiguous,
)
from tailrace.schemas.config.scalars import Duration, Number, at_least
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.durations import MILLISECOND, SECOND, spell

_RESERVED: Final = (
    "content-encoding", "content-length", "content-type", "host", "user-agent",
)  # fmt: skip
_CONNECTION: Final = "is not known here; remove it"
_METRICS: Final = "/v1/metrics"
"""Where metrics go, below an endpoint."""


class ExporterTlsConfig(TlsFiles):
    """`tls`, as collectors spell it."""

    refusals: ClassVar[Mapping[str, str]] = {
        **TlsFiles.refusals,
        **dict.fromkeys(
            ("cipher_suites", "curve_preferences", "include_insecure_cipher_suites", "tpm"),
            _CONNECTION,
        ),
        "reload_interval": "is not known here; files are read whenever they change. Remove it",
        "include_system_ca_certs_pool": (
            "is true; what ca_file holds is all that is trusted. Put the others into it, too"
        ),
        "insecure": "is neither true nor false; the endpoint says it, by http or https. Remove it",
    }
    idle: ClassVar[Mapping[str, Any]] = {
        **TlsFiles.idle,
        "insecure": lambda value: isinstance(value, bool),
        "include_insecure_cipher_suites": lambda value: value is False,
        "include_system_ca_certs_pool": lambda value: value is False,
    }

    server_name_override: str | None = None

    @property
    def plain(self) -> TlsConfig:
        """The same under Prometheus's names."""
        given = self.model_dump(exclude={"server_name_override"})
        return TlsConfig.model_construct(**given, server_name=self.server_name_override)


class RetryConfig(Section):
    """How what was not answered is sent again."""

    refusals: ClassVar[Mapping[str, str]] = {
        "enabled": (
            "is false; what a receiver did not take is sent again here, or lost. Remove it"
        ),
        "max_elapsed_time": (
            "gives data up; here it is sent until the receiver takes or refuses it. How long it "
            "can wait is the retention of output.metrics. Remove it"
        ),
    }
    idle: ClassVar[Mapping[str, Any]] = {
        "enabled": lambda value: value is True,
        "max_elapsed_time": lambda value: value in ("0s", "0", 0),
    }

    initial_interval: Annotated[Duration, at_least(MILLISECOND)] = 5 * SECOND
    max_interval: Annotated[Duration, at_least(MILLISECOND)] = 30 * SECOND
    multiplier: Annotated[Number, Field(ge=1)] = 1.5
    randomization_factor: Annotated[Number, Field(ge=0, le=1)] = 0.5

    def contradictions(self) -> Iterator[Remark]:
        if self.initial_interval > self.max_interval:
            spelled = spell(self.initial_interval), spell(self.max_interval)
            yield ("initial_interval",), f"is {spelled[0]}, more than max_interval, {spelled[1]}"


class OtlpHttpConfig(Section):
    """One receiver; the messages are those of output.metrics as they are."""

    refusals: ClassVar[Mapping[str, str]] = {
        "sending_queue": "has no meaning here: what waits is in Kafka. Remove it",
        "traces_endpoint": "is of traces; only metrics go there. Kept traces are in output.sampled",
        "logs_endpoint": "is of logs; only metrics go there",
        "profiles_endpoint": "is of profiles; only metrics go there",
        "encoding": "is json; messages go as they are, in protobuf. Remove it",
        "proxy_url": "is not known here; requests go to the receiver itself",
        "auth": "names an extension of a collector; say it in headers",
        **dict.fromkeys(
            (
                "read_buffer_size", "write_buffer_size", "max_idle_conns", "max_conns_per_host",
                "max_idle_conns_per_host", "idle_conn_timeout", "disable_keep_alives",
                "http2_read_idle_timeout", "http2_ping_timeout", "cookies", "middlewares",
                "force_attempt_http2", "compression_params",
            ),
            _CONNECTION,
        ),
    }  # fmt: skip
    idle: ClassVar[Mapping[str, Any]] = {"encoding": lambda value: value == "proto"}

    endpoint: Url | None = None
    """Of the receiver as a whole: metrics go to `/v1/metrics` below it."""
    metrics_endpoint: Url | None = None
    name: ReceiverName = ""
    """Ours: names what has been sent; unset, it follows from the endpoint."""
    headers: Headers = Field(default_factory=dict)
    compression: Literal["gzip", "none"] = "gzip"
    timeout: Annotated[Duration, at_least(10 * MILLISECOND)] = 30 * SECOND
    tls: ExporterTlsConfig = ExporterTlsConfig()
    retry_on_failure: RetryConfig = RetryConfig()

    def contradictions(self) -> Iterator[Remark]:
        if self.endpoint is None and self.metrics_endpoint is None:
            yield (), "needs endpoint or metrics_endpoint"
        split = urlsplit(self.endpoint or "")
        if self.metrics_endpoint is None and (split.query or split.fragment):
            text = f"has more than a path, behind which {_METRICS} would be put; write all of it"
            yield ("endpoint",), f"{text} as metrics_endpoint"
        elif self.metrics_endpoint is None and split.path.rstrip("/").endswith(_METRICS):
            yield (
                ("endpoint",),
                f"ends in {_METRICS}, which would be put behind it once more; write it as "
                f"metrics_endpoint",
            )
        yield from ambiguous(self, _RESERVED)

    @property
    def url(self) -> str:
        """Where metrics go."""
        return self.metrics_endpoint or f"{(self.endpoint or '').rstrip('/')}{_METRICS}"

    @property
    def receiver(self) -> str:
        """The name under which it is known what was sent."""
        return self.name or hashlib.sha256(self.url.encode()).hexdigest()[:6]
