"""Sections `remote_write` and `otlp_http`: what is taken, and what is refused in which words."""

from __future__ import annotations

import pytest

from tailrace.schemas.config import parse
from tailrace.schemas.config.worker import OTLP_HTTP, REMOTE_WRITE
from tailrace.schemas.errors import ConfigError

WRITE = "remote_write: [{{url: https://prometheus/api/v1/write, {}}}]"
OTLP = "otlp_http: [{{endpoint: https://collector:4318, {}}}]"
WRONG = {
    "counts since the last flush": (
        WRITE.format("name: a")
        + "\nspan_metrics: {aggregation_temporality: AGGREGATION_TEMPORALITY_DELTA}",
        "span_metrics.aggregation_temporality is delta, and remote_write tells of totals only; "
        "remove it, or remote_write",
    ),
    "a queue in memory": (
        WRITE.format("queue_config: {capacity: 10000}"),
        "remote_write[0].queue_config.capacity has no meaning here: what waits is in Kafka, and "
        "memory holds one flush a partition. Remove it",
    ),
    "a misspelt key": (
        WRITE.format("write_relabel_config: []"),
        "remote_write[0].write_relabel_config is not a known key; did you mean "
        "write_relabel_configs?",
    ),
    "two receivers of one name": (
        "remote_write: [{url: http://a/x, name: a}, {url: http://b/x, name: a}]",
        'remote_write has "a" twice, at [0] and [1]; give each its own name',
    ),
    "one receiver without a name twice": (
        "remote_write: [{url: http://a/x}, {url: http://b/x}, {url: http://a/x}]",
        "remote_write has the same url twice, at [0] and [2]; give one a name",
    ),
    "one endpoint twice, spelled in two ways": (
        "otlp_http: [{endpoint: http://a/}, {metrics_endpoint: http://a/v1/metrics}]",
        "otlp_http has the same url twice, at [0] and [1]; give one a name",
    ),
    "a rule whose expression is none": (
        WRITE.format("write_relabel_configs: [{action: drop, regex: 'a('}]"),
        'remote_write[0].write_relabel_configs[0].regex is "a(", which is not an RE2 expression: '
        "missing ): a(",
    ),
    "where metrics go as the endpoint": (
        "otlp_http: [{endpoint: https://collector:4318/v1/metrics/}]",
        "otlp_http[0].endpoint ends in /v1/metrics, which would be put behind it once more; write "
        "it as metrics_endpoint",
    ),
    "an endpoint with a query": (
        "otlp_http: [{endpoint: 'https://collector:4318/otlp?tenant=a'}]",
        "otlp_http[0].endpoint has more than a path, behind which /v1/metrics would be put; write "
        "all of it as metrics_endpoint",
    ),
    "two ways to say who we are": (
        WRITE.format("sigv4: {region: eu}, authorization: {credentials_file: /x}"),
        "remote_write[0] has authorization and sigv4; a receiver takes us for one, so give one",
    ),
    "a password in the URL": (
        "remote_write: [{url: 'https://us:secret@prometheus/write'}]",
        "remote_write[0].url has a user in it; say it as basic_auth, where no log shows it",
    ),
    "no URL": (
        "remote_write: [{url: prometheus:9090}]",
        "remote_write[0].url is no URL of a receiver; write it as https://host/path",
    ),
    "a header that is ours": (
        WRITE.format("headers: {Content-Encoding: gzip}"),
        "remote_write[0].headers.Content-Encoding is set by tailrace itself; remove it",
    ),
    "redirects": (
        WRITE.format("follow_redirects: true"),
        "remote_write[0].follow_redirects is true; no redirect is followed here, so that samples "
        "and secrets go nowhere else. Remove it, and give url the place itself",
    ),
    "waits the wrong way round": (
        WRITE.format("queue_config: {min_backoff: 10s}"),
        "remote_write[0].queue_config.min_backoff is 10s, more than max_backoff, 5s",
    ),
    "another message": (
        WRITE.format("protobuf_message: prometheus.WriteRequest2"),
        'remote_write[0].protobuf_message is "prometheus.WriteRequest2"; it must be '
        "prometheus.WriteRequest or io.prometheus.write.v2.Request",
    ),
    "half a certificate": (
        WRITE.format("tls_config: {cert_file: /x}"),
        "remote_write[0].tls_config needs cert_file and key_file together",
    ),
    "a collector's queue": (
        OTLP.format("sending_queue: {queue_size: 10}"),
        "otlp_http[0].sending_queue has no meaning here: what waits is in Kafka. Remove it",
    ),
    "giving up": (
        OTLP.format("retry_on_failure: {max_elapsed_time: 300s}"),
        "otlp_http[0].retry_on_failure.max_elapsed_time gives data up; here it is sent until the "
        "receiver takes or refuses it. How long it can wait is the retention of output.metrics. "
        "Remove it",
    ),
    "no endpoint": (
        "otlp_http: [{compression: gzip}]",
        "otlp_http[0] needs endpoint or metrics_endpoint",
    ),
}


KNOWN = {
    WRITE: (
        "bearer_token: x", "bearer_token_file: x", "failed_request_logging: true",
        "tls_config: {min_version: TLS13}", "tls_config: {max_version: TLS12}",
        "tls_config: {ca: x}", "basic_auth: {username_ref: x}", "basic_auth: {password_ref: x}",
        "authorization: {credentials_ref: x}", "sigv4: {session_name: x}", "sigv4: {tags: []}",
    ),
    OTLP: (
        "tls: {ca_pem: x}", "tls: {min_version: '1.3'}", "tls: {cipher_suites: []}",
        "tls: {reload_interval: 1h}", "tls: {include_system_ca_certs_pool: true}",
        "tls: {curve_preferences: []}", "tls: {tpm: {}}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("body", [of.format(key) for of, keys in KNOWN.items() for key in keys])
def test_a_key_of_prometheus_or_of_collectors_is_refused_with_the_reason(body: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(body, "test.yaml", {})
    assert "is not a known key" not in str(error.value)


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_refused(case: tuple[str, str]) -> None:
    text, problem = case
    with pytest.raises(ConfigError) as error:
        parse(text, "test.yaml", {})
    assert str(error.value) == problem


PORT = "has a port that is no number from 1 to 65535; write it as host:port"


@pytest.mark.parametrize("host", ["h:abc", "h:99999", "h:0", "[::1]:x"])
def test_a_port_that_is_none_is_refused(host: str) -> None:
    for text, key in (
        (f"remote_write: [{{url: 'http://{host}/x'}}]", "remote_write[0].url"),
        (f"otlp_http: [{{endpoint: 'http://{host}/'}}]", "otlp_http[0].endpoint"),
    ):
        with pytest.raises(ConfigError) as error:
            parse(text, "test.yaml", {})
        assert str(error.value) == f"{key} {PORT}"


@pytest.mark.parametrize("host", ["h", "h:9090", "h:65535", "[::1]:9090", "[::1]"])
def test_a_port_may_be_there_or_not(host: str) -> None:
    url = f"http://{host}/x"
    assert parse(f"remote_write: [{{url: '{url}'}}]", "test.yaml", {}).remote_write[0].url == url


UNSENDABLE = {
    "headers: {X-Scope: %s}": "headers.X-Scope",
    "authorization: {credentials: %s}": "authorization.credentials",
    "basic_auth: {username: u, password: %s}": "basic_auth.password",
    "basic_auth: {username: %s, password: p}": "basic_auth.username",
    "sigv4: {region: r, access_key: %s, secret_key: s}": "sigv4.access_key",
    "sigv4: {region: r, access_key: a, secret_key: %s}": "sigv4.secret_key",
}


@pytest.mark.parametrize("character", ["\\n", "\\r", "\\0", "\\x7f"])
@pytest.mark.parametrize("body", UNSENDABLE)
def test_what_no_header_can_hold_is_refused_and_not_shown(body: str, character: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(WRITE.format(body % f'"hunter{character}2"'), "test.yaml", {})
    assert str(error.value) == (
        f"remote_write[0].{UNSENDABLE[body]} has a line break or another control character in it; "
        f"remove that"
    )


def test_a_header_may_have_tabs_and_letters_of_any_script() -> None:
    config = parse(WRITE.format('headers: {X-Scope: "a\\té"}'), "test.yaml", {})
    assert config.remote_write[0].headers == {"X-Scope": "a\té"}


def test_what_changes_nothing_may_stand() -> None:
    config = parse(
        WRITE.format(
            "follow_redirects: false, enable_http2: false, send_native_histograms: true, "
            "failed_request_logging: false, tls_config: {min_version: TLS12}, "
            "queue_config: {sample_age_limit: 0s, retry_on_http_429: true}"
        ),
        "test.yaml",
        {},
    )
    assert config.remote_write[0].name == ""
    assert {REMOTE_WRITE} == {REMOTE_WRITE, OTLP_HTTP} & config.capabilities
    tls = "tls: {insecure: true, include_system_ca_certs_pool: false, min_version: 1.2}"
    assert parse(OTLP.format(tls), "test.yaml", {}).otlp_http


def test_a_secret_comes_from_the_environment_and_is_not_shown() -> None:
    text = WRITE.format("basic_auth: {username: us, password: '${PASSWORD}'}")
    config = parse(text, "test.yaml", {"PASSWORD": "hunter2"})
    auth = config.remote_write[0].basic_auth
    assert auth is not None
    assert auth.password is not None
    assert auth.password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(config)


def test_a_receiver_without_a_name_is_known_by_where_it_is() -> None:
    one, other = (
        parse(f"remote_write: [{{url: 'http://{host}/x'}}]", "test.yaml", {}).remote_write[0]
        for host in "ab"
    )
    assert len(one.receiver) == 6
    assert one.receiver != other.receiver


def test_an_endpoint_that_is_not_used_may_be_any() -> None:
    whole = "https://collector:4318/v1/metrics"
    text = f"otlp_http: [{{endpoint: '{whole}', metrics_endpoint: '{whole}'}}]"
    assert parse(text, "test.yaml", {}).otlp_http[0].url == whole


@pytest.mark.parametrize("url", ["http://prometheus:9090", "http://prometheus:9090/"])
def test_a_receiver_of_remote_write_without_a_path_is_warned_of(url: str) -> None:
    [warning] = parse(f"remote_write: [{{url: '{url}'}}]", "test.yaml", {}).warnings
    assert str(warning) == (
        "remote_write[0].url has no path; Prometheus takes samples at /api/v1/write"
    )


def test_a_receiver_whose_certificate_nobody_checks_is_warned_of() -> None:
    config = parse(WRITE.format("tls_config: {insecure_skip_verify: true}"), "test.yaml", {})
    [warning] = config.warnings
    assert str(warning).startswith("remote_write[0].tls_config.insecure_skip_verify is true")
