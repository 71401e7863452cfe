"""What changes rarely and is kept by the engine: products, NAS, and the keys' fingerprints."""

from typing import NamedTuple

from pymysql.cursors import Cursor

from ..rules import hours
from ..rules.login import Product
from ..rules.units import Cents, Millicents, Octets, Seconds
from ..rules.usage import Credit, Tariff
from ..rules.vendors import Terms
from .sql import columns


class ProductRow(NamedTuple):
    """The columns of a product that a login needs."""

    revision: int
    name: str
    kind: str
    credit_seconds: Seconds | None
    credit_octets: Octets | None
    credit_down_octets: Octets | None
    credit_up_octets: Octets | None
    credit_cents: Cents | None
    tariff_minute_millicents: Millicents
    tariff_mb_millicents: Millicents
    speed_down_kbit: int | None
    speed_up_kbit: int | None
    idle_seconds: int | None
    interim_seconds: int
    fup_share_percent: int | None
    fup_down_kbit: int | None
    fup_up_kbit: int | None
    allowed_hours: str | None
    timezone: str
    max_sessions: int
    replace_oldest: int
    bind_device: int


def read_product(cursor: Cursor, product_id: int) -> Product:
    """A product's rules in the form in which a login uses them."""
    cursor.execute(f"SELECT {columns(ProductRow)} FROM product WHERE id = %s", (product_id,))
    (row,) = map(ProductRow._make, cursor.fetchall())
    cursor.execute(
        "SELECT attribute, operator, value FROM product_reply WHERE product_id = %s ORDER BY position", (product_id,)
    )
    extra = tuple(cursor.fetchall())
    share = row.fup_share_percent
    fup_credit = row.credit_octets if row.credit_octets is not None else row.credit_down_octets
    return Product(
        id=product_id,
        revision=row.revision,
        name=row.name,
        kind=row.kind,
        credit=Credit(
            row.credit_seconds,
            row.credit_octets,
            row.credit_down_octets,
            row.credit_up_octets,
            None if row.credit_cents is None else Millicents(row.credit_cents * 1000),
        ),
        tariff=Tariff(row.tariff_minute_millicents, row.tariff_mb_millicents),
        terms=Terms(row.speed_down_kbit, row.speed_up_kbit, row.idle_seconds, row.interim_seconds, extra),
        fup_terms=(
            Terms(row.fup_down_kbit, row.fup_up_kbit, row.idle_seconds, row.interim_seconds, extra, reduced=True)
            if share
            else None
        ),
        fup_octets=Octets(fup_credit * share // 100) if share and fup_credit is not None else None,
        hours=hours.parse(row.allowed_hours) if row.allowed_hours else None,
        timezone=row.timezone,
        max_sessions=row.max_sessions,
        replace_oldest=bool(row.replace_oldest),
        bind_device=bool(row.bind_device),
    )


class Nas(NamedTuple):
    """A row of the table nas; *address* is a host or a network."""

    id: int
    name: str
    address: str
    secret_sealed: bytes
    key_number: int
    vendor: str
    require_message_authenticator: bool
    counter_rule: str


def read_nas(cursor: Cursor, *, with_secrets: bool = True) -> list[Nas]:
    """Every NAS; without its sealed secret for an account that may not read it."""
    names = columns(Nas) if with_secrets else columns(Nas).replace("secret_sealed", "'' AS secret_sealed")
    cursor.execute(f"SELECT {names} FROM nas WHERE address <> ''")
    return [Nas(*row) for row in cursor.fetchall()]


def read_key_fingerprints(cursor: Cursor) -> dict[int, str]:
    """The fingerprints of the keys that this database was sealed with, by key number."""
    cursor.execute("SELECT name, value FROM site WHERE name LIKE 'key\\_%\\_fingerprint'")
    return {int(name.split("_")[1]): fingerprint for name, fingerprint in cursor.fetchall()}
