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
            while octets := database.recv(65536):
                if self._is_broken and self._fault in ("hangs", "late"):
                    continue
                client.sendall(octets)
        except OSError:
            pass
        finally:
            if not (self._is_broken and self._fault in ("hangs", "late")):
                self._cut(way)


def _size(octets: bytes) -> int:
    return HEADER_OCTETS + int.from_bytes(octets[:3], "little")
