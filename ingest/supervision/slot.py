"""A worker's place at the port, which outlives the workers that take it."""

import socket

from ingest.supervision.worker_process import WorkerProcess


class Slot:
    """One worker's place: its listening socket, and how often in a row it failed at the start.

    After a change of configuration the old worker stays as `predecessor` until the new one
    listens, and then until it has drained. Both listen on the same socket; on disk each has its
    own directory, whatever happens to either.
    """

    def __init__(self, listen: socket.socket):
        self.listen = listen
        self.worker: WorkerProcess | None = None
        self.predecessor: WorkerProcess | None = None
        self.drain_until: float | None = None
        self.failures = 0
        self.start_at = 0.0
