"""Messages to requests: what one receiver is to be sent of some records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import cramjam

from tailrace.agents.remote_write.book import Book
from tailrace.agents.remote_write.columns import Columns
from tailrace.agents.remote_write.relabelling import Relabelling
from tailrace.agents.remote_write.rounds import Round, distinct, rounds
from tailrace.schemas.config.remote_write import WRITE_2, RemoteWriteConfig
from tailrace.schemas.exports import Request, Translated
from tailrace.schemas.otlp.metric_columns import parse_columns
from tailrace.schemas.prometheus.remote_write import Batch, Format1, Format2
from tailrace.schemas.records import DeadLetter, Record

SPARE: Final = 100_000
"""Series and streams that are remembered beside twice those in use."""
MALFORMED: Final = "malformed"


class Translation:
    """Makes requests for the receiver of *config*, from the records of one partition.

    What it remembers are encodings: what it makes of records does not depend on others before; but
    of exemplars it leaves out those that are older than what their series got before. *spare*: so
    many series are remembered beside twice those in use.
    """

    def __init__(self, config: RemoteWriteConfig, *, spare: int = SPARE) -> None:
        self._config = config
        self._spare = spare
        self.message = config.protobuf_message
        self._relabel = Relabelling(config.write_relabel_configs)
        self._begin()

    def _begin(self) -> None:
        """Know nothing: neither series nor the texts that they are made of."""
        is_utf8 = self._config.translation_strategy == "NoUTF8EscapingWithSuffixes"
        self._form: Format1 | Format2 = Format2() if self.message == WRITE_2 else Format1()
        self._book = Book(self._form, self._relabel, self._config.external_labels, utf8=is_utf8)

    def translate(self, records: Sequence[Record]) -> Translated:
        """Return the requests of *records*, which belong together, in rounds.

        A record that cannot be read is a dead letter, whatever is wrong: the next would be its end.
        """
        columns = self._columns()
        letters: list[DeadLetter] = []
        for row, record in enumerate(records):
            value = record.value or b""
            refused = columns.refused.copy()
            try:
                columns.read(parse_columns(value))
            except Exception:
                letters.append(DeadLetter(row, MALFORMED, value, whole=True))
                continue
            letters += (
                DeadLetter(row, reason, value, whole=False) for reason in columns.refused - refused
            )
        columns.finish()
        found = rounds(self._book, columns)
        made = [partial(self._requests, self._book, each) for each in found]
        refused = Counter({reason: count for reason, count in columns.refused.items() if count})
        self._forget(distinct(found), columns.met)
        return Translated(made, letters, refused, max((each.last for each in found), default=0))

    def _columns(self) -> Columns:
        return Columns(self._book, exemplars=self._config.send_exemplars)

    def _forget(self, series: int, streams: int) -> None:
        """Begin anew when most of what is known has ended: all but *series* and *streams*."""
        known = self._book
        if (
            len(known.series) > 2 * series + self._spare
            or known.streams > 2 * streams + self._spare
        ):
            self._begin()

    def _requests(self, book: Book, round_: Round) -> Iterator[Request]:
        wants_metadata = self.message != WRITE_2 and self._config.metadata_config.send
        metadata = round_.metadata(book) if wants_metadata else []
        for batch in round_.batches(book, self._config.queue_config.max_samples_per_send):
            batch.metadata, metadata = metadata, []
            yield WriteRequest(self._form, batch, self.message)


@dataclass(slots=True)
class WriteRequest:
    """A request of remote write; see `Request`."""

    _form: Format1 | Format2
    _batch: Batch
    message: str
    content: bytes = field(init=False, repr=False)
    body: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.content = self._form.encode(self._batch)
        self.body = bytes(cramjam.snappy.compress_raw(self.content))

    @property
    def headers(self) -> dict[str, str]:
        """What says how it is to be read."""
        return self._form.headers

    @property
    def samples(self) -> int:
        """Samples and histograms."""
        return len(self._batch)

    @property
    def is_of_one_time(self) -> bool:
        """Whether all samples have the same time."""
        return len(set(self._batch.times)) == 1

    def halves(self) -> tuple[Request, Request] | None:
        """Return it in two parts, that one bad sample leaves the others; None if it is one."""
        middle = len(self._batch) // 2
        if not middle:
            return None
        parts = self._batch.part(0, middle), self._batch.part(middle, len(self._batch))
        first, second = (WriteRequest(self._form, part, self.message) for part in parts)
        return first, second
