"""Why a login is refused: every reason, in the order of precedence, and its texts.

The word of a reason stands in the log, in the database (login_refusal.reason), in ``prepaid track`` and in
``prepaid simulate``.  Of several reasons that hold, the first in this order is the answer; login.py decides which holds.
README.md lists the same reasons for the office.
"""

from typing import NamedTuple


class Reason(NamedTuple):
    """The texts of one reason."""

    sentence: str  # for the office, which translates it
    # Reply-Message for the person at the device, by language (settings.lang); at most 253 octets.
    message: dict[str, str]


# One text for an unknown card, a wrong PIN and a source that is locked out.  A stranger must not learn which serials
# exist, nor, while he is locked out, that his guess was right.
WRONG = {
    "en": "Wrong serial number or PIN. After several mistakes, wait 15 minutes.",
    "pt_BR": "Número de série ou senha incorretos. Depois de vários erros, aguarde 15 minutos.",
}

REFUSALS = {
    "unknown_card": Reason("There is no card with this serial number.", WRONG),
    "wrong_pin": Reason("The PIN does not belong to this card.", WRONG),
    "locked_out": Reason(
        "Too many wrong PINs for this card came from this device, or from devices that never used it;"
        " they count again in the next quarter of an hour.",
        WRONG,
    ),
    "not_delivered": Reason(
        "The card has not been delivered to a partner.",
        {"en": "This card is not active yet.", "pt_BR": "Este cartão ainda não está ativo."},
    ),
    "blocked": Reason(
        "The office has blocked the card.",
        {"en": "This card is blocked. Ask your provider.", "pt_BR": "Este cartão está bloqueado. Procure o provedor."},
    ),
    "wrong_kind": Reason(
        "It is a telephony card: its credit is added by the subscriber centre.",
        {
            "en": "This is a telephony card, it gives no internet access.",
            "pt_BR": "Este cartão é de telefonia e não dá acesso à internet.",
        },
    ),
    "expired": Reason(
        "The card's validity is over.", {"en": "This card has expired.", "pt_BR": "A validade deste cartão terminou."}
    ),
    "exhausted": Reason(
        "The card's credit is used up.", {"en": "This card is used up.", "pt_BR": "O crédito deste cartão acabou."}
    ),
    "outside_hours": Reason(
        "The product does not allow logins at this hour.",
        {"en": "This card cannot be used at this hour.", "pt_BR": "Este cartão não pode ser usado neste horário."},
    ),
    "wrong_device": Reason(
        "The card belongs to another device.",
        {"en": "This card belongs to another device.", "pt_BR": "Este cartão pertence a outro aparelho."},
    ),
    "too_many_sessions": Reason(
        "As many sessions as the product allows are open.",
        {"en": "This card is in use on another device.", "pt_BR": "Este cartão está em uso em outro aparelho."},
    ),
}
