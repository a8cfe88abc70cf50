"""Every metric, declared once with its sentence. Names carry their unit; see the README.

Workers count into their scoreboard; the supervisor adds the scoreboards up and shows them here
through prometheus_client. Documents' own counters come from the ledger (scoreboard.py), so that
what `/metrics`, `/status` and the accounting law say is one and the same.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the catalogue.

    `values` are the values of `label` where they are known; `dynamic` is the largest number of
    values where they come from data (more are counted as `other`). `is_shared`: each worker sees
    the whole, so the largest figure counts and not the sum.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    sentence: str
    label: str = ""
    values: tuple[str, ...] = ()
    dynamic: int = 0
    buckets: tuple[float, ...] = ()
    is_shared: bool = False

    @property
    def slot_count(self) -> int:
        if self.kind == "histogram":
            return len(self.buckets) + 2  # one for +Inf, one for the sum in nanoseconds
        return self.dynamic or len(self.values) or 1


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STATUSES = ("200", "202", "400", "401", "403", "404", "405", "408", "413", "415", "429", "431")
_MORE_STATUSES = ("500", "503", "disconnect")

RECEIVED_BYTES = Metric(
    "ingest_received_bytes_total", "counter", "Bytes of bodies, as received (compressed or not)."
)
REQUESTS = Metric(
    "ingest_requests_total",
    "counter",
    "Requests to /ingest by the status of their answer; `disconnect` had nobody left to answer.",
    "status",
    (*_STATUSES, *_MORE_STATUSES),
)
REQUEST_SECONDS = Metric(
    "ingest_request_seconds",
    "histogram",
    "Time from a request's head to its answer.",
    buckets=_SECONDS,
)
DOCUMENTS_TRIMMED = Metric(
    "ingest_documents_trimmed_total",
    "counter",
    "Documents with an oversized field that was cut or dropped, by field.",
    "field",
    dynamic=50,
)
BULK_REQUESTS = Metric(
    "ingest_bulk_requests_total",
    "counter",
    "Bulk requests by result: all items indexed, some failed, refused as a whole, no answer.",
    "result",
    ("indexed", "partial", "refused", "unanswered"),
)
BULK_REQUEST_SECONDS = Metric(
    "ingest_bulk_request_seconds",
    "histogram",
    "Time that a bulk request took, answered or not.",
    buckets=_SECONDS,
)
BULK_IN_FLIGHT = Metric("ingest_bulk_in_flight", "gauge", "Bulk requests that are under way.")
DOCUMENTS_RETRIED = Metric(
    "ingest_documents_retried_total", "counter", "Documents that were sent again after a failure."
)
DEAD_LETTERS = Metric(
    "ingest_dead_letters",
    "counter",
    "Dead letters written, by the type of Elasticsearch's error.",
    "type",
    dynamic=50,
)
FAILURE_STORE = Metric(
    "ingest_failure_store_total",
    "counter",
    "Indexed documents that Elasticsearch put into a failure store instead of their data stream.",
)
SPOOL_BYTES = Metric(
    "ingest_spool_bytes",
    "gauge",
    "Bytes of all spools of the data directory, adopted and left ones too: what the quota sees.",
    is_shared=True,
)
SPOOL_OLDEST_AGE = Metric(
    "ingest_spool_oldest_age_seconds",
    "gauge",
    "How long the oldest document waits in the spool of the worker that took it.",
    is_shared=True,
)
SPOOL_SYNC_SECONDS = Metric(
    "ingest_spool_sync_seconds", "histogram", "Time of each fdatasync.", buckets=_SECONDS
)
SPOOL_DAMAGED = Metric(
    "ingest_spool_damaged_records_total", "counter", "Damaged ranges of spool files, kept aside."
)
SPOOL_ADOPTED = Metric(
    "ingest_spool_adopted_total", "counter", "Spools of processes that are gone, taken over."
)
SPOOL_COMMITTED = Metric(
    "ingest_spool_committed_chunks_total", "counter", "Chunks made durable; many share a sync."
)
BUFFERS_FREE = Metric("ingest_buffers_free", "gauge", "Buffers that no body is using.")
PENDING_BYTES = Metric(
    "ingest_pending_bytes", "gauge", "Encoded and not delivered yet, with 1 KiB for each post."
)
LOOP_LAG_SECONDS = Metric(
    "ingest_loop_lag_seconds",
    "histogram",
    "How late a worker's event loop came to a timer: what every request waits at least.",
    buckets=_SECONDS,
)
GC_PAUSE_SECONDS = Metric(
    "ingest_gc_pause_seconds", "histogram", "Time of each garbage collection.", buckets=_SECONDS
)
CONNECTIONS = Metric("ingest_connections", "gauge", "Open producer connections.")

CATALOGUE = (
    RECEIVED_BYTES,
    REQUESTS,
    REQUEST_SECONDS,
    DOCUMENTS_TRIMMED,
    BULK_REQUESTS,
    BULK_REQUEST_SECONDS,
    BULK_IN_FLIGHT,
    DOCUMENTS_RETRIED,
    DEAD_LETTERS,
    FAILURE_STORE,
    SPOOL_BYTES,
    SPOOL_OLDEST_AGE,
    SPOOL_SYNC_SECONDS,
    SPOOL_DAMAGED,
    SPOOL_ADOPTED,
    SPOOL_COMMITTED,
    BUFFERS_FREE,
    PENDING_BYTES,
    LOOP_LAG_SECONDS,
    GC_PAUSE_SECONDS,
    CONNECTIONS,
)
