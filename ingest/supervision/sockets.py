"""The service's listening sockets.

Each worker has one of its own on the same port (SO_REUSEPORT): the kernel spreads connections over
them evenly, where one socket inherited by all gave 235/21 of 256 connections to two workers.
"""

import socket

from ingest.config import Settings
from ingest.errors import ConfigError

BACKLOG = 2048


def bind_workers(settings: Settings) -> list[socket.socket]:
    """A listening socket for each worker, all on one port. Raises ConfigError."""
    host, port = settings.listen_address
    _refuse_taken("listen", host, port)
    sockets: list[socket.socket] = []
    for _ in range(settings.workers):
        each = socket.socket(_family(host), socket.SOCK_STREAM)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        each.bind((host, port))
        each.listen(BACKLOG)
        port = each.getsockname()[1]
        sockets.append(each)
    return sockets


def _refuse_taken(key: str, host: str, port: int) -> None:
    """SO_REUSEPORT would silently share the port with another service of the same user."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise ConfigError(f"{key}: {host}:{port} can not be used: {error.strerror}") from error


def bind_admin(settings: Settings) -> socket.socket:
    """The admin port's socket. Raises ConfigError."""
    host, port = settings.admin_address
    _refuse_taken("admin", host, port)
    admin = socket.socket(_family(host), socket.SOCK_STREAM)
    admin.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    admin.bind((host, port))
    return admin


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def address_of(bound: socket.socket) -> str:
    """HOST:PORT, as in a URL."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
