"""A TCP port before a MariaDB's socket, that a test can break: at a certain command, before or after it, or for a while.

with DatabaseLine(socket_path) as line:
    line.break_at(3, "cut before")
    ...
    line.mend()
"""

import contextlib
import socket
import threading
import time
from pathlib import Path

# One command:  "cut before"  it never comes to the database; "cut after"  it does, and its answer is lost.
# From it on:   "away"        whoever is connected is cut off, and nobody gets in;
#               "hangs"       nothing comes through any more, either way, and whoever connects is let in.
#               "late"        the same, and what was sent meanwhile comes to the database when the line is mended.
FAULTS = ("cut before", "cut after", "away", "hangs", "late")
HEADER_OCTETS = 4
# What the first packet of a server begins with, unless it is an error.
PROTOCOL = 10
# The flag by which a server offers TLS (in its first packet), as MariaDB 11.8 does by itself.
TLS_OFFERED = 0x0800
# In which any command of a login is done.
DONE_SECONDS = 0.05


class DatabaseLine:
    def __init__(self, database: Path):
        self._database = str(database)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._fault = ""
        self._at = 0
        self._is_broken = False
        self._ways: set[tuple[socket.socket, socket.socket]] = set()
        self._held: list[tuple[tuple[socket.socket, socket.socket], bytes]] = []
        self.commands = 0  # that came since the line was told to break, or mended

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()
        self._cut_all()

    def break_at(self, command: int, fault: str) -> None:
        """With the command of this number, counted from 0 and from now, over all connections."""
        assert fault in FAULTS
        with self._lock:
            self._fault, self._at, self._is_broken, self.commands = fault, command, False, 0

    def hang(self) -> None:
        self.break_at(0, "hangs")
        self._is_broken = True

    def mend(self) -> bool:
        """Let everything through again; whether the line was broken."""
        with self._lock:
            was_broken, was_late = self._is_broken, self._fault == "late"
            self._fault, self._is_broken, self.commands = "", False, 0
            held, self._held = self._held, []
        if was_late:
            for (_, database), octets in held:
                with contextlib.suppress(OSError):
                    database.sendall(octets)
                    # Its client has given up, and is gone.
                    database.settimeout(5)
                    database.recv(65536)
        if was_broken:
            self._cut_all()
        return was_broken

    def _cut_all(self) -> None:
        for way in list(self._ways):
            self._cut(way)

    def _cut(self, way: tuple[socket.socket, socket.socket]) -> None:
        for end in way:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ways.discard(way)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_broken and self._fault == "away":
                client.close()
                continue
            database = socket.socket(socket.AF_UNIX)
            database.connect(self._database)
            way = client, database
            self._ways.add(way)
            threading.Thread(target=self._to_database, args=(way,), daemon=True).start()
            threading.Thread(target=self._to_client, args=(way,), daemon=True).start()

    def _to_database(self, way) -> None:
        client, database = way
        waiting = b""
        try:
            while octets := client.recv(65536):
                waiting += octets
                while len(waiting) >= HEADER_OCTETS and len(waiting) >= (size := _size(waiting)):
                    packet, waiting = waiting[:size], waiting[size:]
                    if not self._let_through(way, packet):
                        return
        except OSError:
            pass
        finally:
            # What hangs keeps its connection until it is mended.
            if not (self._is_broken and self._fault in ("hangs", "late")):
                self._cut(way)

    def _let_through(self, way, packet: bytes) -> bool:
        """Whether there is more to come on this connection."""
        is_command = packet[3] == 0
        with self._lock:
            number = self.commands
            self.commands += is_command
            is_it = bool(self._fault) and is_command and number == self._at and not self._is_broken
            if is_it:
                self._is_broken = True
            is_broken, fault = self._is_broken, self._fault
            if is_broken and fault == "late":
                self._held.append((way, packet))
        if is_broken and fault in ("hangs", "late"):
            return True
        if is_broken and fault == "away":
            self._cut_all()
            return False
        if not is_it:
            way[1].sendall(packet)
            return True
        if fault == "cut after":
            # The answer finds nobody.
            with contextlib.suppress(OSError):
                way[0].shutdown(socket.SHUT_RDWR)
            way[1].sendall(packet)
            time.sleep(DONE_SECONDS)
        return False

    def _to_client(self, way) -> None:
        client, database = way
        try:
            octets = _without_tls(_packet(database))
            while octets:
                if not (self._is_broken and self._fault in ("hangs", "late")):
                    client.sendall(octets)
                octets = database.recv(65536)
        except OSError:
            pass
        finally:
            if not (self._is_broken and self._fault in ("hangs", "late")):
                self._cut(way)


def _packet(database: socket.socket) -> bytes:
    octets = b""
    while len(octets) < HEADER_OCTETS or len(octets) < _size(octets):
        received = database.recv(65536)
        if not received:
            raise ConnectionError("the database has sent no whole packet")
        octets += received
    return octets


def _without_tls(greeting: bytes) -> bytes:
    """A server's first packet without its offer of TLS: the line could not tell where a command begins in what is encrypted.

    The flags follow the protocol's version (1 octet), the server's version (to a NUL), the connection's number (4), the
    first part of the challenge (8) and a NUL.
    """
    if greeting[HEADER_OCTETS] != PROTOCOL:
        return greeting  # an error, such as too many connections
    changed = bytearray(greeting)
    flags = changed.index(0, HEADER_OCTETS + 1) + 1 + 4 + 8 + 1
    changed[flags : flags + 2] = (int.from_bytes(changed[flags : flags + 2], "little") & ~TLS_OFFERED).to_bytes(
        2, "little"
    )
    return bytes(changed)


def _size(octets: bytes) -> int:
    return HEADER_OCTETS + int.from_bytes(octets[:3], "little")
