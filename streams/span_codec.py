"""Records of spans to span batches."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.otlp.json import read_json
from tailrace.schemas.records import DeadLetter, Record
from tailrace.schemas.spans import Reason, SpanBatch
from tailrace.schemas.tenants import SpanTenants


class SpanCodec:
    """Decodes OTLP records to one span batch; what is bad of them becomes dead letters.

    *is_json*: the records are OTLP/JSON. The trace ID inside a record counts, not its key;
    `key_mismatches` counts records whose key says another, if *is_keyed*. With *tenants* the batch
    has the tenant of each span.
    """

    def __init__(
        self,
        decoder: Decoder,
        *,
        is_json: bool = False,
        is_keyed: bool = True,
        tenants: SpanTenants | None = None,
    ) -> None:
        self._decoder = decoder
        self._is_json = is_json
        self._is_keyed = is_keyed
        self.tenants = tenants
        self.key_mismatches = 0

    @property
    def refused_tenants(self) -> int:
        """How many spans said a tenant that can be none."""
        return 0 if self.tenants is None else self.tenants.refused

    def decode(self, records: Sequence[Record]) -> tuple[SpanBatch, Sequence[DeadLetter]]:
        letters: list[DeadLetter] = []
        values = [record.value for record in records]
        if self._is_json:
            values = [self._read(row, value, letters) for row, value in enumerate(values)]
        batch = self._decoder.decode(values)
        if self.tenants is not None:
            batch.tenant = self.tenants.of(batch, records)
        if self._is_keyed:
            self._compare_keys(records, batch)
        if batch.rejected:
            letters = sorted([*letters, *self._dead_letters(batch)], key=lambda each: each.record)
        return batch, letters

    @staticmethod
    def _read(row: int, value: bytes | None, letters: list[DeadLetter]) -> bytes | None:
        """Return JSON as protobuf; None and a dead letter if it is not what it should be."""
        if not value:
            return value
        try:
            return read_json(value)
        except ValueError:
            letters.append(DeadLetter(row, str(Reason.MALFORMED), value, whole=True))
            return None

    @staticmethod
    def _dead_letters(batch: SpanBatch) -> list[DeadLetter]:
        settled = set(batch.fragment_message.tolist())
        letters = []
        for bad in batch.rejected:
            whole = bad.message not in settled
            settled.add(bad.message)
            letters.append(DeadLetter(bad.message, str(bad.reason), bad.value, whole))
        return letters

    def _compare_keys(self, records: Sequence[Record], batch: SpanBatch) -> None:
        ids, messages = batch.fragment_trace_id, batch.fragment_message.tolist()
        keys = [records[message].key for message in messages]
        joined, said = b"".join(ids), b"".join(key for key in keys if key is not None)
        if said in (joined.hex().encode(), joined):
            return  # the common case, at the price of one comparison
        wrong = {
            message
            for message, key, trace_id in zip(messages, keys, ids, strict=True)
            if key is not None and key != trace_id and key.lower() != trace_id.hex().encode()
        }
        self.key_mismatches += len(wrong)
