"""One port, a listening socket for each worker, and nobody else on it."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from ingest.config import Settings, load
from ingest.errors import ConfigError
from ingest.supervision.sockets import address_of, bind_admin, bind_workers
from tests.required_tools import skip_or_fail


@pytest.fixture
def held() -> Iterator[contextlib.ExitStack]:
    """Closes what a test binds."""
    with contextlib.ExitStack() as stack:
        yield stack


def on(listen: str = "127.0.0.1:0", admin: str = "127.0.0.1:0", workers: int = 1) -> Settings:
    return load({"listen": listen, "admin": admin, "workers": workers})


def bound(held: contextlib.ExitStack, settings: Settings) -> list[socket.socket]:
    return [held.enter_context(each) for each in bind_workers(settings)]


def test_each_worker_has_a_socket_of_its_own_on_the_same_port(held: contextlib.ExitStack) -> None:
    sockets = bound(held, on(workers=3))
    assert len({each.fileno() for each in sockets}) == 3
    (address,) = {each.getsockname() for each in sockets}
    assert address[1] > 0


def test_connections_are_spread_over_the_sockets(held: contextlib.ExitStack) -> None:
    sockets = bound(held, on(workers=2))
    for _ in range(64):
        held.enter_context(socket.create_connection(sockets[0].getsockname()))
    accepted = []
    for each in sockets:
        each.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(64):
                accepted.append(each)
                held.enter_context(each.accept()[0])
    shares = [accepted.count(each) - 1 for each in sockets]
    assert sum(shares) == 64
    assert all(shares)


def test_connections_that_wait_are_kept_while_no_worker_accepts(held: contextlib.ExitStack) -> None:
    (listen,) = bound(held, on())
    client = held.enter_context(socket.create_connection(listen.getsockname()))
    client.sendall(b"early")
    taken, _ = listen.accept()
    assert held.enter_context(taken).recv(5) == b"early"


def test_a_port_that_another_service_shares_is_refused(held: contextlib.ExitStack) -> None:
    """SO_REUSEPORT alone would let two services have half of the connections each."""
    (listen,) = bound(held, on())
    address = address_of(listen)
    with pytest.raises(ConfigError, match=f"listen: {address} can not be used: Address already"):
        bind_workers(on(listen=address))


def test_a_taken_admin_port_is_refused(held: contextlib.ExitStack) -> None:
    (listen,) = bound(held, on())
    address = address_of(listen)
    with pytest.raises(ConfigError, match=f"admin: {address} can not be used: Address already"):
        bind_admin(on(admin=address))


@pytest.mark.parametrize("key", ["listen", "admin"])
@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_this_machine_is_refused(key: str, host: str) -> None:
    settings = on(listen=f"{host}:0", admin=f"{host}:0")
    with pytest.raises(ConfigError, match=f"{key}: {host}:0 can not be used: "):
        bind_workers(settings) if key == "listen" else bind_admin(settings)


def test_the_admin_port_is_free_again_at_once(held: contextlib.ExitStack) -> None:
    """After a restart, connections of the last run still linger."""
    with bind_admin(on()) as first:
        first.listen()
        address = address_of(first)
        client = held.enter_context(socket.create_connection(first.getsockname()))
        taken, _ = first.accept()
        taken.close()
    client.close()
    with bind_admin(on(admin=address)) as second:
        assert address_of(second) == address


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_addresses_are_written_as_in_a_url(held: contextlib.ExitStack, host: str) -> None:
    if host == "[::1]" and not socket.has_dualstack_ipv6():
        skip_or_fail("IPv6")
    (listen,) = bound(held, on(listen=f"{host}:0"))
    assert address_of(listen) == f"{host}:{listen.getsockname()[1]}"
