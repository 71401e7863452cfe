"""The answer to a login, attribute by attribute: the engine sends it, `prepaid simulate` shows it."""

from ..attributes import checked_reply
from ..rules import messages
from ..rules.login import Accept, Product
from ..rules.vendors import Attribute, limit_attributes, terms_attributes


def terms(product: Product, vendor: str, is_slowed_down: bool) -> tuple[Attribute, ...]:
    """What all logins with this product get on this vendor's NAS; the engine builds it once and keeps it."""
    return checked_reply(
        terms_attributes(vendor, product.fup_terms if is_slowed_down and product.fup_terms else product.terms)
    )


def accepted(
    terms: tuple[Attribute, ...],
    vendor: str,
    accept: Accept,
    serial: str,
    expires_in_seconds: int | None,
    class_value: str,
    lang: str,
    currency: str,
) -> tuple[Attribute, ...]:
    """The product's terms, this login's limits, whom accounting charges, and a text that says what is left.

    User-Name is the card's serial, which a NAS then reports in accounting (RFC 2865, 5.1): with EAP a NAS knows only the
    outer name, and not every NAS returns our Class.
    """
    return terms + checked_reply(
        (
            *limit_attributes(vendor, accept.limits),
            ("User-Name", ":=", serial),
            ("Class", "+=", class_value),
            ("Reply-Message", ":=", messages.accepted(accept, expires_in_seconds, lang, currency)),
        )
    )


def refused(reason: str, lang: str) -> tuple[Attribute, ...]:
    """The reason, for a customer who has proved the PIN."""
    return (("Reply-Message", ":=", messages.refused(reason, lang)),)
