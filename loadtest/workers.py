"""Workers that a driver starts, ends and starts again: each with its data, log and web port."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tailrace_loadtest.processes import Process, Samples, free_port, scrape, total
from tailrace_loadtest.sampling import Sampling
from tailrace_loadtest.truth import Truth

SPANS, SAMPLED, DECISIONS = "otlp_spans", "otlp_sampled", "tailrace.decisions"
PARTITIONS = 8


def write_config(
    directory: Path,
    decision_wait_s: float,
    sampling: Sampling,
    sections: Mapping[str, object] | None = None,
) -> Path:
    """A config that decides as *sampling* does, *decision_wait_s* after a trace's first span."""
    policies = [
        {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
        {"name": "slow", "type": "latency", "latency": {"threshold_ms": sampling.slow_ms}},
        {
            "name": "rest",
            "type": "probabilistic",
            "probabilistic": {
                "sampling_percentage": sampling.percentage,
                "hash_salt": sampling.salt,
            },
        },
    ]
    path = directory / "config.json"
    wait = f"{decision_wait_s:g}s"
    content = {"tail_sampling": {"decision_wait": wait, "policies": policies}, **(sections or {})}
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    return path


class Worker:
    """One worker's place on this machine."""

    def __init__(self, name: str, directory: Path, bootstrap: str, config: Path | None) -> None:
        self.name = name
        self.data = directory / name
        self.port = free_port()
        self._process: Process | None = None
        self._log = directory / f"{name}.log"
        self._arguments = ["worker", "--bootstrap", bootstrap, "--data", str(self.data)]
        self._arguments += ["--web-port", str(self.port)]
        if config is not None:
            self._arguments += ["-c", str(config)]

    def start(self) -> Process:
        """Start it, whether it ran before or not."""
        self._process = Process(self._arguments, self._log)
        return self._process

    @property
    def process(self) -> Process:
        """What was started last."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    def kill(self) -> None:
        """End it as kill -9 does, if it was started."""
        if self._process is not None:
            self._process.kill()

    def lose_data(self) -> None:
        """Remove its state and its identity."""
        shutil.rmtree(self.data)

    def scrape(self) -> Samples:
        """What it says of itself."""
        return scrape(self.port)


def is_settled(samples: Samples, truth: Truth) -> bool:
    """Whether every span of the load was kept or dropped, and that is committed."""
    settled = total(samples, "tailrace_spans_kept_total")
    settled += total(samples, "tailrace_spans_dropped_total")
    return settled >= truth.totals["spans"]


def imbalances(samples: Samples, truth: Truth) -> list[str]:
    """What does not add up in all workers' *samples* once *truth* is settled."""
    records, spans = truth.totals["records"], truth.totals["spans"]
    kept = truth.totals["kept_spans"]
    expected = {
        "records_total": records,
        "records_processed_total": records,
        "records_dead_lettered_total": 0,
        "spans_decoded_total": spans,
        "spans_kept_total": kept,
        "spans_dropped_total": spans - kept,
        "spans_pending": 0,
        "traces_open": 0,
        "balance_problems": 0,
    }
    found = {name: total(samples, f"tailrace_{name}") for name in expected}
    wrong = [
        f"{name} is {found[name]:,.0f}, not {right:,}"
        for name, right in expected.items()
        if found[name] != right
    ]
    tasks = [
        dict(labels)["partition"] for name, labels in samples if name == "tailrace_records_total"
    ]
    if sorted(map(int, tasks)) != list(range(PARTITIONS)):
        wrong.append(f"the partitions with a task are {sorted(tasks)}")
    return wrong


async def create_topic(bootstrap: str, name: str = SPANS, partitions: int = PARTITIONS) -> None:
    """Create an empty topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()


def ports(workers: Sequence[Worker]) -> list[int]:
    """Where they answer."""
    return [worker.port for worker in workers]
