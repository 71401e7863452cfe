"""What the person at the device reads: Reply-Message, in the provider's language (en or pt_BR)."""

from .login import Accept
from .refusals import REFUSALS, WRONG
from .units import format_duration, format_money, format_size, format_validity
from .usage import MILLICENTS_A_CENT

LEFT = {"en": "Left: {}.", "pt_BR": "Restam: {}."}
UNTIL = {"en": " Valid for {}.", "pt_BR": " Válido por {}."}


def refused(reason: str, lang: str) -> str:
    """Why a login was refused; a reason without a text gets the one that reveals nothing."""
    return _in(REFUSALS[reason].message if reason in REFUSALS else WRONG, lang)


def accepted(accept: Accept, expires_in_seconds: int | None, lang: str, currency: str) -> str:
    """What is left on the card, and until when."""
    balance = accept.balance
    parts = []
    if balance.seconds is not None:
        parts.append(format_duration(balance.seconds))
    if balance.octets is not None:
        parts.append(format_size(balance.octets, lang))
    if balance.down_octets is not None:
        parts.append("↓ " + format_size(balance.down_octets, lang))
    if balance.up_octets is not None:
        parts.append("↑ " + format_size(balance.up_octets, lang))
    if balance.millicents is not None:
        parts.append(format_money(balance.millicents // MILLICENTS_A_CENT, lang, currency))
    text = _in(LEFT, lang).format(", ".join(parts))
    if expires_in_seconds is not None:
        text += _in(UNTIL, lang).format(format_validity(expires_in_seconds, lang))
    return text


def _in(texts: dict[str, str], lang: str) -> str:
    return texts["pt_BR" if lang.startswith("pt") else "en"]
