"""How the embedded broker is set: for one small machine, quick to start, lenient to tests."""

import shlex

LOG = "kafka.log"
LOGGING = "log4j2.properties"
PROPERTIES = "server.properties"
LOG_DIRECTORY = "logs"
SCRATCH = "tmp"  # native libraries are unpacked here; a killed Java leaves them

# To its controller, a broker that stands still for so long is gone, and there is no other: clients
# are told of no broker at all. A laptop that sleeps, or a busy machine, is no reason for that.
_SESSION_MS = 60_000
# But after a kill, the controller waits this long before it admits the restarted broker.
_AFTER_KILL_SESSION_MS = 3_000

# Paths are relative to the data directory, in which Java is started: Kafka would split a list
# of directories at a comma in one.
_LISTENERS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log_directory}
"""

_ONE_SMALL_NODE = """\
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms={session_ms}
# Otherwise 128 MB of the heap.
log.cleaner.dedupe.buffer.size=16777216
"""

_LOG4J2 = f"""\
status=warn
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={LOG}
appender.file.filePattern={LOG}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{ISO8601}} %p %c{{1}}: %m%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=20MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=1
rootLogger.level=info
rootLogger.appenderRef.file.ref=file
# Its configuration, printed at every start, is a thousand lines.
logger.config.name=org.apache.kafka.common.config
logger.config.level=warn
"""


def server_properties(port: int, controller_port: int, *, is_after_kill: bool) -> str:
    listeners = _LISTENERS.format(
        port=port, controller_port=controller_port, log_directory=LOG_DIRECTORY
    )
    session_ms = _AFTER_KILL_SESSION_MS if is_after_kill else _SESSION_MS
    return listeners + _ONE_SMALL_NODE.format(session_ms=session_ms)


def logging_properties() -> str:
    return _LOG4J2


def java_options(heap: str | None) -> list[str]:
    """Options of the JVM; *heap* is the user's KAFKA_HEAP_OPTS.

    Without the optimising compiler the broker listens after 1.6 s instead of 2.1 s, and its
    first 400,000 records cost half the CPU.
    """
    return [
        *(shlex.split(heap) if heap else ["-Xmx512m"]),
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        f"-Djava.io.tmpdir={SCRATCH}",
        f"-Dlog4j2.configurationFile={LOGGING}",
    ]
