"""The provider's own customer, maria, whom FreeRADIUS serves from the file `authorize`, as before prepaid cards.

    with Provider(machine) as provider:
        machine.run("apt-get install --yes ./prepaid-cards.deb")
        served = provider.take()
    assert served.unanswered == 0 and served.requests > 0

She logs in and reports from her NAS (127.0.0.5) all the time, each time a request is answered or given up.  A NAS repeats a
request that nobody answers; `repeated` counts those that were answered only then, `unanswered` those that never were.
"""

import dataclasses
import threading
import time

from tests.system.machine import Machine

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
    # An answer that is not hers: a refusal, or an Accept without her attributes.
    wrong: int = 0


class Provider:
    def __init__(self, machine: Machine, auth_port: int = 1812, acct_port: int = 1813):
        self._nas = machine.nas(SECRET, auth_port, acct_port)
        self._nas.needs_signature = False
        self._served = Served()
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Provider":
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

    def _serve(self) -> None:
        while not self._ends.is_set():
            self._ask(self._login)
            self._ask(self._report)
            time.sleep(PAUSE_SECONDS)

    def _login(self):
        reply = self._nas.login(
            CUSTOMER, PASSWORD, nas_ip=NAS_ADDRESS, timeout_seconds=TIMEOUT_SECONDS, message_authenticator=True
        )
        return reply, reply is not None and reply.is_accept and reply["Reply-Message"] == "Contract customer"

    def _report(self):
        session = self._nas.session(CUSTOMER, nas_ip=NAS_ADDRESS)
        reply = self._nas.start(session, timeout_seconds=TIMEOUT_SECONDS)
        return reply, reply is not None and reply.is_acknowledged

    def _ask(self, request) -> None:
        # The lock is held while a request is under way, so that it counts in the step in which it began.
        with self._lock:
            self._served.requests += 1
            for number in range(TRIES):
                reply, is_right = request()
                if reply is not None:
                    self._served.repeated += number > 0
                    self._served.wrong += not is_right
                    return
            self._served.unanswered += 1
