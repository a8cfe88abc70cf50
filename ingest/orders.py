"""What the supervisor tells a worker, over their private channel: first orders, later `drain`."""

import pickle
import socket
import struct
from dataclasses import dataclass
from uuid import UUID

from ingest.config import Settings

DRAIN = b"drain\n"
_LENGTH = struct.Struct("<Q")


@dataclass(slots=True, frozen=True)
class Orders:
    """What a worker is told at its start."""

    settings: Settings
    worker_id: UUID


def send_orders(control: socket.socket, orders: Orders) -> None:
    """Pickled: both ends are this program, and nobody else can reach the channel."""
    content = pickle.dumps(orders)
    control.sendall(_LENGTH.pack(len(content)) + content)


def receive_orders(control: socket.socket) -> Orders:
    """Raises EOFError when the supervisor is gone before it has spoken."""
    (length,) = _LENGTH.unpack(_receive(control, _LENGTH.size))
    orders = pickle.loads(_receive(control, length))
    assert isinstance(orders, Orders)
    return orders


def _receive(control: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        received = control.recv(length - len(content))
        if not received:
            raise EOFError("the supervisor is gone")
        content += received
    return content
