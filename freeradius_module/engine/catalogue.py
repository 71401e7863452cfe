"""What changes rarely and is needed for each packet: products, NAS, and the attributes that are built from them."""

import ipaddress
import time
from threading import Lock
from typing import NamedTuple

from pymysql.cursors import Cursor

from .. import store
from ..attributes import BY_CERTIFICATE
from ..connection import Connection, DatabaseAway
from ..rules.login import Product
from ..rules.vendors import Attribute
from ..store.catalogue import Nas
from . import reply

# A new NAS is served after this time at the latest, and after the time for which FreeRADIUS remembers its clients.
REFRESH_SECONDS = 5.0
# For a certificate that is no NAS'. Whoever has one must not make every packet a reading.
LOOK_AGAIN_SECONDS = 1.0
# The source of a packet can be forged, so the number of addresses that are remembered is limited.
ADDRESSES_MOST = 65_536
# The NAS at an address that no row covers: FreeRADIUS knows it from its own files.
UNLISTED = Nas(1, "unlisted", "", b"", 0, "generic", True, "gigawords")


class UnknownCertificate(Exception):
    """A packet came over TLS with a certificate whose name is no NAS'.  The only argument is a sentence for the log."""


class Client(NamedTuple):
    """A NAS as FreeRADIUS has to know it."""

    name: str
    secret: str
    require_message_authenticator: bool

    def __repr__(self) -> str:
        return f"<Client {self.name}>"


class Catalogue:
    """Keeps what it has read while the database is away."""

    def __init__(self, connection: Connection, *, reads_secrets: bool = True):
        self._connection = connection
        # An account that only charges may not read the secrets of NAS.
        self._reads_secrets = reads_secrets
        self._guard = Lock()
        self._products: dict[int, Product] = {}
        self._terms: dict[tuple[int, int, str, bool], tuple[Attribute, ...]] = {}
        self._networks: list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, Nas]] = []
        self._by_certificate: dict[str, Nas] = {}
        self._has_read = False  # before that, no address can be called unlisted
        self._nas: dict[str, Nas | None] = {}
        self._counter_rules: dict[int, str] = {}
        self._queue_lag_seconds = 0.0
        self._next_refresh = 0.0
        self._look_again_at = 0.0

    def product(self, product_id: int, revision: int) -> Product:
        """The product in this revision or a later one; it is read again when a card's row says that it has changed."""
        product = self._products.get(product_id)
        if product is None or product.revision < revision:
            with self._guard:
                product = self._connection.run(store.catalogue.read_product, product_id)
            self._products[product_id] = product
        return product

    def terms(self, product: Product, vendor: str, is_slowed_down: bool) -> tuple[Attribute, ...]:
        """The attributes that all logins with this product get on this vendor's NAS."""
        key = (product.id, product.revision, vendor, is_slowed_down)
        attributes = self._terms.get(key)
        if attributes is None:
            attributes = self._terms[key] = reply.terms(product, vendor, is_slowed_down)
        return attributes

    def nas(self, address: str) -> Nas | None:
        """The NAS at this address, by the longest matching network; None where no row covers it."""
        if time.monotonic() >= self._next_refresh:
            self._refresh()
        try:
            return self._nas[address]
        except KeyError:
            if len(self._nas) >= ADDRESSES_MOST:
                self._nas = {}
            nas = self._nas[address] = self._find(address)
            return nas

    def nas_of(self, address: str) -> Nas:
        """The NAS that sent a packet; UNLISTED where no row covers its address.

        Raises UnknownCertificate: the authority may sign certificates for others than NAS.
        """
        nas = self.nas(address)
        if nas is None and address.startswith(BY_CERTIFICATE) and time.monotonic() >= self._look_again_at:
            # It may have been added since the last reading, and another process may have accepted its login already.
            self._next_refresh = 0.0
            nas = self.nas(address)
        if nas is not None:
            return nas
        if address.startswith(BY_CERTIFICATE):
            name = address.removeprefix(BY_CERTIFICATE)
            raise UnknownCertificate(f"no NAS has the name of this certificate: {name or '(none)'}")
        return UNLISTED

    def counter_rule(self, nas_id: int) -> str:
        """How this NAS' falling counters are read."""
        return self._counter_rules.get(nas_id, "gigawords")

    def nas_names(self) -> dict[int, str]:
        """The names of the NAS by their numbers, as far as they are known; it reads nothing."""
        listed = (*(nas for _network, nas in self._networks), *self._by_certificate.values())
        return {nas.id: nas.name for nas in listed}

    def queue_lag_seconds(self) -> float:
        """How long accounting waits in queues before it is charged, in seconds; 0 where it is charged at once."""
        return self._queue_lag_seconds

    def close(self) -> None:
        self._connection.close()

    def _find(self, address: str) -> Nas | None:
        if address.startswith(BY_CERTIFICATE):
            return self._by_certificate.get(address)
        try:
            host = ipaddress.ip_address(address)
        except ValueError:
            return None
        for network, nas in self._networks:
            if host in network:
                return nas
        return None

    def _refresh(self) -> None:
        with self._guard:
            if time.monotonic() < self._next_refresh:
                return
            self._look_again_at = time.monotonic() + LOOK_AGAIN_SECONDS
            if self._has_read:
                # Set before reading, so that no other thread waits here for the database: what is known is good enough.
                self._next_refresh = time.monotonic() + REFRESH_SECONDS
            try:
                rows, self._queue_lag_seconds = self._connection.run(_read_changing, self._reads_secrets)
            except DatabaseAway:
                if not self._has_read:
                    raise
                return
            by_certificate = {nas.address: nas for nas in rows if nas.address.startswith(BY_CERTIFICATE)}
            networks = [(ipaddress.ip_network(nas.address), nas) for nas in rows if nas.address not in by_certificate]
            networks.sort(key=lambda entry: -entry[0].prefixlen)
            if networks != self._networks or by_certificate != self._by_certificate:
                self._networks, self._by_certificate = networks, by_certificate
                self._counter_rules = {nas.id: nas.counter_rule for nas in rows}
                self._nas = {}
            self._has_read = True
            self._next_refresh = time.monotonic() + REFRESH_SECONDS


def _read_changing(cursor: Cursor, reads_secrets: bool) -> tuple[list[Nas], float]:
    return store.catalogue.read_nas(cursor, with_secrets=reads_secrets), store.accounting.read_queue_lag(cursor)
