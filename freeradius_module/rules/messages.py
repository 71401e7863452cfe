"""What the person at the device reads: Reply-Message, in the provider's language."""

from .login import Accept
from .units import format_duration, format_money, format_size

# One text for an unknown card, a wrong PIN and a source that is locked out: a stranger must learn neither which serials
# exist nor, while he is locked out, that he has guessed right.
WRONG = {
    "en": "Wrong serial number or PIN. After several mistakes, wait 15 minutes.",
    "pt_BR": "Número de série ou senha incorretos. Depois de vários erros, aguarde 15 minutos.",
}

REFUSED = {
    "not_delivered": {"en": "This card is not active yet.", "pt_BR": "Este cartão ainda não está ativo."},
    "blocked": {
        "en": "This card is blocked. Ask your provider.",
        "pt_BR": "Este cartão está bloqueado. Procure o provedor.",
    },
    "wrong_kind": {
        "en": "This is a telephony card, it gives no internet access.",
        "pt_BR": "Este cartão é de telefonia e não dá acesso à internet.",
    },
    "expired": {"en": "This card has expired.", "pt_BR": "A validade deste cartão terminou."},
    "exhausted": {"en": "This card is used up.", "pt_BR": "O crédito deste cartão acabou."},
    "outside_hours": {
        "en": "This card cannot be used at this hour.",
        "pt_BR": "Este cartão não pode ser usado neste horário.",
    },
    "wrong_device": {"en": "This card belongs to another device.", "pt_BR": "Este cartão pertence a outro aparelho."},
    "too_many_sessions": {
        "en": "This card is in use on another device.",
        "pt_BR": "Este cartão está em uso em outro aparelho.",
    },
}

LEFT = {"en": "Left: {}.", "pt_BR": "Restam: {}."}
UNTIL = {"en": " Valid for {}.", "pt_BR": " Válido por {}."}


def refused(reason: str, lang: str) -> str:
    """Why a login was refused, for whoever has proved the PIN."""
    return _in(REFUSED.get(reason, WRONG), lang)


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
        parts.append(format_money(balance.millicents // 1000, lang, currency))
    text = _in(LEFT, lang).format(", ".join(parts))
    if expires_in_seconds is not None:
        text += _in(UNTIL, lang).format(format_duration(expires_in_seconds))
    return text


def _in(texts: dict[str, str], lang: str) -> str:
    return texts["pt_BR" if lang.startswith("pt") else "en"]
