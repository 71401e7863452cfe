"""The engine: decides packets, which are plain values by now, by the facts of the database and the rules.

One engine serves all threads and all instances of the module in a radiusd.  It keeps no state of a card or a session:
everything that matters is in the database, so several servers and a restart change nothing.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from threading import Lock

from .. import attributes, store
from ..connection import Connection, DatabaseAway, Nodes, WrongSchema
from ..rules import messages
from ..rules.login import Attempt, Card
from ..sealing import keyring, pin
from ..sealing.keyring import KeyFileError, Keyring
from ..settings import RADIUS_GROUP, Settings
from .accounting import Charges, Packet, Pairs
from .catalogue import Catalogue, Client, UnknownCertificate
from .logins import ADMIT, AUTHORIZE, WRONG_PIN, Answer, AuthorizeResult, LoginRequest, Logins, proof_of

# An answer must leave room for two nodes of a cluster that hang, and for the one that answers then.
ANSWER_TIMEOUTS = 2
ANSWER_GRACE_SECONDS = 1


def answer_seconds(settings: Settings) -> int:
    """How long a caller waits for an answer; a request that is older is not done any more."""
    return settings.database_timeout_seconds * ANSWER_TIMEOUTS + ANSWER_GRACE_SECONDS


class Engine:
    def __init__(self, settings: Settings):
        self.wrong_text = messages.refused("wrong_pin", settings.lang)
        self.settings = settings
        self._answer_seconds = answer_seconds(settings)
        self._take_keys(keyring.load(settings.key_file))
        # It outlasts a change of keys, because running sessions bring their Class back after it.
        class_key = self.keys.lasting("class")
        nodes = Nodes(settings)
        self.catalogue = Catalogue(Connection(settings, nodes), reads_secrets=settings.group == RADIUS_GROUP)
        self.logins = Logins(settings, nodes, self.catalogue, self._pin_of, class_key)
        self.charges = Charges(settings, nodes, self.catalogue, class_key)
        self._is_card_connection, self._is_card_guard = Connection(settings, nodes), Lock()

    def set_serial(self, is_serial: bool) -> None:
        """Whether the host makes one call at a time, so that a call that waits holds up all others."""
        self.logins.group_commit.is_serial = self.charges.group_commit.is_serial = is_serial

    def check(self) -> None:
        """Raise KeyFileError if the database was sealed with other keys than the key file has."""
        connection = Connection(self.settings)
        try:
            fingerprints = connection.run(lambda cursor, _: store.catalogue.read_key_fingerprints(cursor), None)
        finally:
            connection.close()
        for number, fingerprint in fingerprints.items():
            if number in self.keys.numbers:
                self.keys.confirm(number, fingerprint)

    def close(self) -> None:
        """Close all connections; the next call would connect again."""
        self.catalogue.close()
        self.logins.close()
        self.charges.close()
        self._is_card_connection.close()

    def authorize(self, request: Mapping[str, str]) -> AuthorizeResult:
        """The PIN that has to be proved, and the answer if the packet proves it by itself.

        For a serial that does not exist the PIN is one that nobody can know: the login then fails like one with a wrong
        PIN, and takes as long.
        """
        result: AuthorizeResult = self.logins.submit(self.login_request(AUTHORIZE, request))
        return result

    def admit(self, request: Mapping[str, str]) -> Answer:
        """The answer to a login whose PIN FreeRADIUS has found right."""
        answer: Answer = self.logins.submit(self.login_request(ADMIT, request))
        return answer

    def record_wrong_pin(self, request: Mapping[str, str]) -> str:
        """Count a wrong PIN; return a line for the log, which says whether the serial exists."""
        line: str = self.logins.submit(self.login_request(WRONG_PIN, request))
        return line

    def account(self, pairs: Pairs) -> str | None:
        """Charge what a packet reports; return a line for the log, or None.

        Returns after the commit.  Raises DatabaseAway if it cannot be charged now, and NeverCharged, with the reason, if
        it never can.
        """
        return self.charges.submit(Packet(pairs, until=time.monotonic() + self._answer_seconds))

    def client(self, address: str) -> Client | None:
        """The NAS at an address and its secret, for FreeRADIUS' list of clients."""
        nas = self.catalogue.nas(address)
        if nas is None:
            return None
        secret = self._open(pin.open_nas_secret, nas.secret_sealed, nas.key_number, nas.name)
        return Client(nas.name, secret, nas.require_message_authenticator)

    def is_card(self, serial: str) -> bool:
        """Whether a card has this serial; raises DatabaseAway if that cannot be said now."""
        with self._is_card_guard:
            return self._is_card_connection.run(store.logins.is_card, serial)

    def login_request(self, what: str, request: Mapping[str, str], until: float | None = None) -> LoginRequest:
        """What a login's packet asks for: *what* is AUTHORIZE, ADMIT or WRONG_PIN; *until* is when its caller gives up, by
        the monotonic clock.  Raises ValueError for any other *what*."""
        if what not in (AUTHORIZE, ADMIT, WRONG_PIN):
            raise ValueError(f"a login request is {AUTHORIZE}, {ADMIT} or {WRONG_PIN}")
        source = request.get(attributes.SOURCE_ADDRESS, "")
        # By the whole name: the first 45 characters of a certificate's could be another NAS'.
        nas = self.catalogue.nas_of(source)
        at = attributes.received_at(request)
        attempt = Attempt(
            serial=attributes.serial_of(request),
            nas_id=nas.id,
            device=attributes.device_of(request),
            nas_address=source[:45],
            asked_seconds_ago=max(time.time() - at, 0.0),
            at=at,
        )
        proof = proof_of(request) if what == AUTHORIZE else None
        answer_until = time.monotonic() + self._answer_seconds if until is None else until
        return LoginRequest(what, attempt, nas.vendor, proof, answer_until, attributes.outer_serial_of(request))

    def _pin_of(self, card: Card | None) -> str:
        """A card's PIN; without a card a PIN that nobody can know, by the same work."""
        if card is None:
            number, sealed = self._decoy
            return secrets.token_urlsafe(12) + pin.open_sealed(sealed, number, "decoy", self.keys)
        return self._open(pin.open_sealed, card.pin_sealed, card.key_number, card.serial)

    def _open(
        self, open_sealed: Callable[[bytes, int, str, Keyring], str], sealed: bytes, number: int, owner: str
    ) -> str:
        """Open a sealed text; if its key is missing, read the key file again: the key may have been added since."""
        try:
            return open_sealed(sealed, number, owner, self.keys)
        except KeyFileError:
            keys = keyring.refreshed(self.keys)
            if keys is self.keys:
                raise
            self._take_keys(keys)
            return open_sealed(sealed, number, owner, keys)

    def _take_keys(self, keys: Keyring) -> None:
        pin.prepare(keys)
        # An unknown serial opens this decoy, so it is sealed again with every new set of keys.
        self._decoy = pin.seal(secrets.token_urlsafe(8), "decoy", keys)
        self.keys = keys


def safe_text(fault: Exception) -> str:
    """A fault for the log.  Of an unforeseen one only its kind and number: its text might hold a PIN or a password."""
    if isinstance(fault, DatabaseAway | WrongSchema | UnknownCertificate):
        return f"{type(fault).__name__} {fault}"
    numbers = " ".join(str(number) for number in fault.args if isinstance(number, int))
    return f"{type(fault).__name__} {numbers}".rstrip()
