"""Finds a product, a partner, a NAS or a batch; the error for an unknown name shows similar names."""

from collections.abc import Iterable

from .. import store
from ..store.rows import Cursor, Row
from . import errors


def find_product(cursor: Cursor, name: str) -> Row:
    """The product with this name, also a retired one.  Raises UnknownProduct."""
    row = store.product.find(cursor, name)
    if row is None:
        raise errors.UnknownProduct(name=name, hint=_similar(name, store.product.listed(cursor, retired_too=True)))
    return row


def find_partner(cursor: Cursor, name: str) -> Row:
    """The partner with this name, also a retired one.  Raises UnknownPartner."""
    row = store.partner.find(cursor, name)
    if row is None:
        raise errors.UnknownPartner(name=name, hint=_similar(name, store.partner.listed(cursor, retired_too=True)))
    return row


def find_nas(cursor: Cursor, name: str) -> Row:
    """The NAS with this name.  Raises UnknownNas."""
    rows = store.nas.listed(cursor)
    for row in rows:
        if row["name"] == name:
            return row
    raise errors.UnknownNas(name=name, hint=_similar(name, rows))


def find_batch(cursor: Cursor, number: int) -> Row:
    """The batch with this number, and what its product says.  Raises UnknownBatch."""
    row = store.batch.find(cursor, number)
    if row is None:
        raise errors.UnknownBatch(batch=number)
    return row


def _similar(name: str, rows: Iterable[Row]) -> str:
    return errors.did_you_mean(name, [row["name"] for row in rows])
