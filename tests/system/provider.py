"""Customers who use the machine all the time, each through a NAS: the provider's own, maria, and one with a card.

    with Provider(machine) as provider:
        machine.run("apt-get install --yes ./prepaid-cards.deb")
        served = provider.take()
    assert served.unanswered == 0 and served.requests > 0

A NAS repeats a request that nobody answers; `repeated` counts those that were answered only then, `unanswered` those that
never were.
"""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable

from tests.radius_client import Reply, Session
from tests.system.machine import Machine, Nas

SECRET = "provider-secret"
NAS_ADDRESS = "127.0.0.5"
CUSTOMER, PASSWORD = "maria", "her-password"

# A NAS' usual setting: it sends a request, and repeats it twice.
TRIES = 3
TIMEOUT_SECONDS = 3
PAUSE_SECONDS = 0.05


@dataclasses.dataclass
class Served:
    requests: int = 0
    repeated: int = 0
    unanswered: int = 0
    # An answer that is not the customer's: a refusal, or an Accept without what belongs into it.
    wrong: int = 0


class Customer:
    """One who asks again and again, in a thread of its own; subclasses say what, in `ask`."""

    def __init__(self, nas: Nas):
        self.nas = nas
        self._served = Served()
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exception) -> None:
        self._ends.set()
        self._thread.join()

    def take(self) -> Served:
        """What happened since the last call, the request that is under way included."""
        with self._lock:
            taken, self._served = self._served, Served()
        return taken

    def ask(self) -> None:
        raise NotImplementedError

    def _go_on(self) -> None:
        while not self._ends.is_set():
            self.ask()
            time.sleep(PAUSE_SECONDS)

    def request(self, send: Callable[[], Reply | None], is_right: Callable[[Reply], bool]) -> Reply | None:
        """Send as a NAS does, and count the answer; None if there was none, or a wrong one."""
        # The lock is held while a request is under way, so that it counts in the step in which it began.
        with self._lock:
            self._served.requests += 1
            for number in range(TRIES):
                reply = send()
                if reply is not None:
                    self._served.repeated += number > 0
                    self._served.wrong += not is_right(reply)
                    return reply if is_right(reply) else None
            self._served.unanswered += 1
            return None


class Provider(Customer):
    """The provider's own customer, whom FreeRADIUS serves from the file `authorize`, as before prepaid cards."""

    def __init__(self, machine: Machine, auth_port: int = 1812, acct_port: int = 1813):
        super().__init__(machine.nas(SECRET, auth_port, acct_port))
        self.nas.needs_signature = False

    def ask(self) -> None:
        self.request(
            lambda: self.nas.login(
                CUSTOMER, PASSWORD, nas_ip=NAS_ADDRESS, timeout_seconds=TIMEOUT_SECONDS, message_authenticator=True
            ),
            lambda reply: reply.is_accept and reply["Reply-Message"] == "Contract customer",
        )
        session = self.nas.session(CUSTOMER, nas_ip=NAS_ADDRESS)
        self.request(
            lambda: self.nas.start(session, timeout_seconds=TIMEOUT_SECONDS), lambda reply: reply.is_acknowledged
        )


class CardCustomer(Customer):
    """One with a card: logs in, is online, and ends the session; `acknowledged_seconds` must be charged, once."""

    SESSION_SECONDS = 7

    def __init__(self, nas: Nas, card: dict, nas_ip: str):
        super().__init__(nas)
        self.card = card
        self.nas_ip = nas_ip
        self.acknowledged_seconds = 0
        self._in_session = threading.Lock()

    @contextlib.contextmanager
    def between_sessions(self):
        """No session is open, and none begins; so what is charged can be compared."""
        with self._in_session:
            yield

    def ask(self) -> None:
        with self._in_session:
            self._one_session()

    def _one_session(self) -> None:
        accept = self.request(
            lambda: self.nas.login(
                self.card["serial"], self.card["pin"], nas_ip=self.nas_ip, timeout_seconds=TIMEOUT_SECONDS
            ),
            lambda reply: reply.is_accept and reply["Session-Timeout"] > 0,
        )
        if accept is None:
            return
        session: Session = self.nas.session(self.card["serial"], accept, nas_ip=self.nas_ip)
        self._report(session, "Start")
        self._report(session, "Interim-Update", seconds=self.SESSION_SECONDS - 2)
        # The same bytes again if nobody answers, as a NAS sends them.
        if self._report(session, "Stop", seconds=self.SESSION_SECONDS):
            self.acknowledged_seconds += self.SESSION_SECONDS

    def _report(self, session: Session, status: str, **options) -> Reply | None:
        packet = self.nas.build_report(session, status, **options)
        return self.request(
            lambda: self.nas.send(packet, nas_ip=self.nas_ip, timeout_seconds=TIMEOUT_SECONDS),
            lambda reply: reply.is_acknowledged,
        )
