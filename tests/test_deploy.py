"""The files in `deploy/` fit each other, the code and the repository.

What needs a Docker daemon or a collector is not tried here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tailrace.schemas.config import load
from tests.pages import ROOT, read
from tests.patience import PATIENCE_S

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
INSTRUCTIONS = [
    (words[0], words[1:])
    for line in re.sub(r" *\\\n *", " ", DOCKERFILE).splitlines()
    if line and not line.startswith("#")
    for words in [line.split()]
]


def document(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def of(kind: str) -> list[list[str]]:
    return [words for name, words in INSTRUCTIONS if name == kind]


# The worker's config


def test_the_workers_config_passes_check_without_a_warning() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tailrace", "check", "-c", str(DEPLOY / "tailrace.yaml"), "--json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout == '{"ok": true, "errors": [], "warnings": []}\n', done.stderr


def test_the_worker_asks_the_broker_that_its_environment_names() -> None:
    config = load(DEPLOY / "tailrace.yaml", {"KAFKA_BROKER": "a:1,b:2"})
    assert config.kafka.bootstrap_servers == ("a:1", "b:2")


# The collector's config


def test_the_collector_writes_where_the_worker_reads() -> None:
    traces = kafka_exporter()["traces"]
    config = load(DEPLOY / "tailrace.yaml", {})
    assert (traces["topic"],) == config.input.topics
    assert traces["encoding"] == config.input.encoding
    assert config.input.keyed_by_trace_id


def test_the_collector_keys_by_trace_id_and_loses_nothing() -> None:
    exporter = kafka_exporter()
    assert exporter["partition_traces_by_id"] is True
    assert exporter["producer"]["required_acks"] == "all"
    assert exporter["producer"]["allow_auto_topic_creation"] is False
    assert exporter["sending_queue"]["block_on_overflow"] is True
    assert exporter["retry_on_failure"]["max_elapsed_time"] == 0


def test_every_component_of_the_collector_is_in_its_pipeline() -> None:
    config = document("collector.yaml")
    (pipeline,) = config["service"]["pipelines"].values()
    assert pipeline == {kind: [*config[kind]] for kind in ("receivers", "exporters")}


def kafka_exporter() -> Any:
    return document("collector.yaml")["exporters"]["kafka"]


# The image


def copied() -> list[str]:
    """What the image takes from the repository."""
    sources = [words[:-1] for words in of("COPY") if not words[0].startswith("--from")]
    return [path for paths in sources for path in paths]


@pytest.mark.parametrize("path", copied())
def test_what_the_image_copies_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_image_has_every_room_that_the_import_view_links_to() -> None:
    links = [link for link in (ROOT / "src").rglob("*") if link.is_symlink()]
    assert links
    assert {link.resolve().name for link in links} <= {*copied()}


def test_the_image_is_built_with_the_uv_of_the_makefile() -> None:
    (pinned,) = re.findall(r"^UV_VERSION := (\S+)$", read("Makefile"), re.MULTILINE)
    assert f"uv=={pinned}" in DOCKERFILE


def test_the_image_does_not_run_as_root_and_keeps_its_state_in_a_volume() -> None:
    (user,) = of("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user[0])
    (volume,) = of("VOLUME")
    assert volume == [str(load(DEPLOY / "tailrace.yaml", {}).data_dir)]


def test_the_image_needs_no_shell_to_run() -> None:
    (check,) = of("HEALTHCHECK")
    assert [words[0][0] for words in (*of("ENTRYPOINT"), *of("CMD"))] == ["[", "["]
    assert check[check.index("CMD") + 1].startswith("[")


def test_the_image_runs_a_worker_with_the_config_it_holds() -> None:
    (command,) = of("CMD")
    *_, config = yaml.safe_load(" ".join(command))
    assert ["deploy/tailrace.yaml", config] in of("COPY")


def test_the_health_check_asks_the_port_of_the_config() -> None:
    port = load(DEPLOY / "tailrace.yaml", {}).web.port
    assert f"http://127.0.0.1:{port}/healthz" in DOCKERFILE
    assert of("EXPOSE") == [[str(port)]]


# The compose file


SERVICES: dict[str, Any] = document("compose.yaml")["services"]
WORKERS = {name: service for name, service in SERVICES.items() if "build" in service}


def mounts(service: Any) -> list[list[str]]:
    return [mount.split(":") for mount in service.get("volumes", [])]


def test_what_the_services_mount_and_build_from_is_there() -> None:
    files = [source for s in SERVICES.values() for source, *_ in mounts(s) if source[0] == "."]
    assert files
    for file in files:
        assert (DEPLOY / file).is_file(), file
    for service in WORKERS.values():
        context = (DEPLOY / service["build"]["context"]).resolve()
        assert context == ROOT
        assert (context / service["build"]["dockerfile"]).is_file()


def test_every_volume_is_declared_and_belongs_to_one_service() -> None:
    named = [source for s in SERVICES.values() for source, *_ in mounts(s) if source[0] != "."]
    assert sorted(named) == sorted(document("compose.yaml")["volumes"])


def test_every_worker_has_its_own_volume_where_the_config_wants_its_data() -> None:
    assert len(WORKERS) > 1
    directory = str(load(DEPLOY / "tailrace.yaml", {}).data_dir)
    for name, worker in WORKERS.items():
        assert [name, directory] in mounts(worker)


def test_services_wait_for_services_that_are_there() -> None:
    for service in SERVICES.values():
        assert {*service.get("depends_on", [])} <= {*SERVICES}


def test_all_clients_ask_the_address_that_the_broker_gives_out() -> None:
    given = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    asked = {
        s["environment"]["KAFKA_BROKER"]
        for n, s in SERVICES.items()
        if n != "kafka" and "environment" in s
    }
    assert given == f"PLAINTEXT://{asked.pop()}"
    assert not asked


def test_ports_are_open_on_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


# The page


def test_the_files_that_the_page_names_are_there() -> None:
    named = set(re.findall(r"deploy/[\w.]+", read("docs/deploy.md")))
    assert {DEPLOY / "Dockerfile.dockerignore", *(ROOT / name for name in named)} == {
        *DEPLOY.iterdir()
    }


def test_the_page_runs_services_that_are_there() -> None:
    named = re.findall(r"compose\.yaml (?:exec|kill|start) ([\w-]+)", read("docs/deploy.md"))
    assert named
    assert {*named} <= {*SERVICES}
