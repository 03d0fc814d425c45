"""`remote_write`: receivers of Prometheus's remote write, with the keys that Prometheus has.

What has no meaning here, because a Kafka topic is the log that is sent from, is refused with what
replaces it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from tailrace.schemas.config.idle import is_false
from tailrace.schemas.config.receivers import (
    AuthorizationConfig,
    BasicAuthConfig,
    Headers,
    ReceiverName,
    SigV4Config,
    TlsConfig,
    Url,
    ambiguous,
)
from tailrace.schemas.config.relabelling import RelabelConfig
from tailrace.schemas.config.scalars import Duration, Flag, Whole, at_least, listed
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.durations import MILLISECOND, SECOND, spell

WRITE_1: Final = "prometheus.WriteRequest"
WRITE_2: Final = "io.prometheus.write.v2.Request"
_RESERVED: Final = (
    "content-encoding", "content-length", "content-type", "host", "user-agent",
    "x-prometheus-remote-write-version",
)  # fmt: skip


def _is_true(value: Any) -> bool:
    return value is True


class QueueConfig(Section):
    """How much is on its way to a receiver at once, and how it is tried again."""

    refusals: ClassVar[Mapping[str, str]] = {
        "capacity": (
            "has no meaning here: what waits is in Kafka, and memory holds one flush a partition. "
            "Remove it"
        ),
        "batch_send_deadline": (
            "has no meaning here: a flush is sent as soon as it is whole, and nothing waits for "
            "more. Remove it"
        ),
        "sample_age_limit": (
            "is not known here: a sample is sent until the receiver takes or refuses it. How long "
            "it can wait is the retention of output.metrics. Remove it"
        ),
        "retry_on_http_429": (
            "is false; what a receiver has no time for is sent again here, or lost. Remove it"
        ),
    }
    idle: ClassVar[Mapping[str, Any]] = {
        "retry_on_http_429": _is_true,
        "sample_age_limit": lambda value: value in ("0s", "0", 0),
    }

    min_shards: Annotated[Whole, Field(ge=1)] = 1
    """With max_shards the same; how many there are at once follows from what there is to send."""
    max_shards: Annotated[Whole, Field(ge=1, le=1000)] = 50
    max_samples_per_send: Annotated[Whole, Field(ge=1)] = 2000
    min_backoff: Annotated[Duration, at_least(MILLISECOND)] = 30 * MILLISECOND
    max_backoff: Annotated[Duration, at_least(MILLISECOND)] = 5 * SECOND

    def contradictions(self) -> Iterator[Remark]:
        if self.min_shards > self.max_shards:
            yield ("min_shards",), f"is {self.min_shards}, more than max_shards, {self.max_shards}"
        if self.min_backoff > self.max_backoff:
            spelled = spell(self.min_backoff), spell(self.max_backoff)
            yield ("min_backoff",), f"is {spelled[0]}, more than max_backoff, {spelled[1]}"


class MetadataConfig(Section):
    """Whether types, units and help texts are told, with remote write 1.0."""

    refusals: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("send_interval", "max_samples_per_send"),
        "has no meaning here: metadata goes with the first request of a flush. Remove it",
    )

    send: Flag = True


class RemoteWriteConfig(Section):
    """One receiver."""

    refusals: ClassVar[Mapping[str, str]] = {
        "bearer_token": "is not known here; say it as authorization with credentials",
        "bearer_token_file": "is not known here; say it as authorization with credentials_file",
        "failed_request_logging": (
            "is true; what a receiver refuses is in the dead letters, whole, and no log holds it. "
            "Remove it"
        ),
        "oauth2": "is not known here; authorization with credentials_file takes a token",
        "azuread": "is not known here; authorization with credentials_file takes a token",
        "google_iam": "is not known here; authorization with credentials_file takes a token",
        "proxy_url": "is not known here; requests go to the receiver itself",
        "proxy_from_environment": "is not known here; requests go to the receiver itself",
        "no_proxy": "is not known here; requests go to the receiver itself",
        "proxy_connect_header": "is not known here; requests go to the receiver itself",
        "http_headers": "is not known here; say it as headers",
        "enable_http2": "is true; requests are HTTP/1.1 here. Remove it",
        "follow_redirects": (
            "is true; no redirect is followed here, so that samples and secrets go nowhere else. "
            "Remove it, and give url the place itself"
        ),
        "round_robin_dns": "is true; a connection goes where the name leads. Remove it",
        "send_native_histograms": (
            "is false; an exponential histogram has no other form in Prometheus. For classic ones "
            "say histogram.explicit in span_metrics"
        ),
    }
    idle: ClassVar[Mapping[str, Any]] = {
        "enable_http2": is_false,
        "failed_request_logging": is_false,
        "follow_redirects": is_false,
        "round_robin_dns": is_false,
        "proxy_from_environment": is_false,
        "send_native_histograms": _is_true,
    }

    url: Url
    name: ReceiverName = ""
    """Names what has been sent; unset, it follows from url. Another name starts anew."""
    remote_timeout: Annotated[Duration, at_least(10 * MILLISECOND)] = 30 * SECOND
    headers: Headers = Field(default_factory=dict)
    basic_auth: BasicAuthConfig | None = None
    authorization: AuthorizationConfig | None = None
    sigv4: SigV4Config | None = None
    tls_config: TlsConfig = TlsConfig()
    protobuf_message: Literal["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] = WRITE_1
    queue_config: QueueConfig = QueueConfig()
    metadata_config: MetadataConfig = MetadataConfig()
    external_labels: dict[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)
    write_relabel_configs: Annotated[tuple[RelabelConfig, ...], BeforeValidator(listed)] = ()
    send_exemplars: Flag = True
    translation_strategy: Literal[
        "UnderscoreEscapingWithSuffixes", "NoUTF8EscapingWithSuffixes"
    ] = "UnderscoreEscapingWithSuffixes"
    """The second keeps dots and all else in names: the receiver has to know UTF-8."""

    def contradictions(self) -> Iterator[Remark]:
        yield from ambiguous(self, _RESERVED)
        if "__name__" in self.external_labels:
            yield ("external_labels", "__name__"), "is the name of a metric; remove it"

    def cautions(self) -> Iterator[Remark]:
        if urlsplit(self.url).path in ("", "/"):
            yield ("url",), "has no path; Prometheus takes samples at /api/v1/write"

    @property
    def receiver(self) -> str:
        """The name under which it is known what was sent."""
        return self.name or hashlib.sha256(self.url.encode()).hexdigest()[:6]
