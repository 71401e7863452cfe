"""Serves metrics over HTTP, on loopback or on a Unix socket: the setting `metrics` of the option file.

The page has no secrets, but it tells how a provider's business goes, and it has no password.  So a public address is
refused; a Prometheus on another machine reads it through node_exporter, a tunnel or a proxy that asks for a password.
"""

import contextlib
import ipaddress
import os
import re
import socket
import socketserver
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import make_wsgi_app

from ..shell import errors
from ..shell.text import _

# A reader that sends nothing is not waited for longer.
READER_SECONDS = 10
SOCKET_MODE = 0o660


class Place(NamedTuple):
    """Where metrics are served: at an address and a port, or at a socket (`path`)."""

    host: str = ""
    port: int = 0
    path: Path | None = None


def place_of(text: str, config: str) -> Place:
    """The place that the setting names.

    >>> place_of("127.0.0.1:9812", "prepaid.cnf"), place_of("[::1]:9812", "prepaid.cnf").host
    (Place(host='127.0.0.1', port=9812, path=None), '::1')
    >>> place_of("/run/prepaid-cards/metrics", "prepaid.cnf").path
    PosixPath('/run/prepaid-cards/metrics')
    >>> place_of("0.0.0.0:9812", "prepaid.cnf")
    Traceback (most recent call last):
    admin.shell.errors.WrongUsage: metrics in prepaid.cnf is '0.0.0.0:9812', ...
    """
    if text.startswith("/"):
        return Place(path=Path(text))
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([0-9.]+)):([0-9]{1,5})", text)
    with contextlib.suppress(ValueError):
        if match and 0 < int(match[3]) < 65_536:
            host = ipaddress.ip_address(match[1] or match[2])
            if host.is_loopback:
                return Place(str(host), int(match[3]))
    raise errors.WrongUsage(
        _(
            "metrics in {config} is {text!r}, and must be an address of this machine alone, 127.0.0.1:9812, or the path of a "
            "socket, /run/prepaid-cards/metrics. The page has no password."
        ),
        config=config,
        text=text,
    )


@contextlib.contextmanager
def serving(registry: CollectorRegistry, place: Place) -> Iterator[None]:
    """Serve these metrics in threads of their own until the end of the block.  Raises Refused if the place is taken."""
    try:
        server = _server(place)
    except OSError as fault:
        raise errors.Refused(
            _("No metrics can be served at {place}: {cause}."),
            place=place.path or f"{place.host}:{place.port}",
            cause=fault.strerror or fault,
        ) from fault
    server.set_app(make_wsgi_app(registry))
    thread = threading.Thread(target=server.serve_forever, name="metrics")
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        if place.path:
            place.path.unlink(missing_ok=True)


def _server(place: Place) -> "_Server":
    if place.path is None:
        return (_Server6 if ":" in place.host else _Server)((place.host, place.port), _Handler)
    if place.path.exists() and stat.S_ISSOCK(place.path.lstat().st_mode) and not _is_served(place.path):
        place.path.unlink()  # of an engine that was killed
    before = os.umask(0o777 & ~SOCKET_MODE)
    try:
        return _UnixServer(str(place.path), _Handler)
    finally:
        os.umask(before)


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """Answers each reader in a thread of its own.  The process does not end before these threads (see books.audit.Sealer)."""

    daemon_threads = False

    def __init__(self, *arguments: Any, **options: Any):
        self._readers: set[Any] = set()
        super().__init__(*arguments, **options)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._readers.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._readers.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Stop listening, hang up on the readers, and wait until their threads have ended."""
        for reader in list(self._readers):
            with contextlib.suppress(OSError):
                reader.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def server_bind(self) -> None:
        """Without HTTPServer's question to the DNS for the machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that goes away is no event."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _UnixServer(_Server):
    address_family = socket.AF_UNIX
    allow_reuse_address = False

    def get_request(self) -> tuple[Any, Any]:
        request, _address = super().get_request()
        return request, ("local", 0)


class _Handler(WSGIRequestHandler):
    timeout = READER_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line for each scrape says nothing."""
