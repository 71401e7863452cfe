"""Packets as FreeRADIUS passes them to the module's engine, made without FreeRADIUS.

answer = log_in(engine, card)
engine.account(report(card, "Stop", 90, class_of(answer)))
"""

import time

from freeradius_module.rules.usage import Credit, Tariff
from freeradius_module.store.logins import Reservation

PHONE, LAPTOP = "02-00-00-00-00-01", "02-00-00-00-00-02"
NAS = "127.0.0.1"


def request(card, device=PHONE, nas=NAS) -> dict[str, str]:
    return {"User-Name": card.serial, "Calling-Station-Id": device, "Tmp-String-0": nas}


def arrival(moment: float) -> dict[str, str]:
    """When FreeRADIUS received a login, in seconds since 1970, as its site tells the engine."""
    seconds, microseconds = divmod(int(moment * 1_000_000), 1_000_000)
    return {"Tmp-String-1": f"{seconds}.{microseconds}"}


def log_in(engine, card, device=PHONE, nas=NAS, asked_at=None):
    """The answer to a login with the right PIN, as post-auth gets it."""
    asked = request(card, device, nas) | (arrival(asked_at) if asked_at else {})
    assert engine.authorize(asked).pin == card.pin
    return engine.admit(asked)


def class_of(answer) -> list[str]:
    return [value for name, _, value in answer.reply if name == "Class"]


def session_timeout(answer) -> int:
    (value,) = (value for name, _, value in answer.reply if name == "Session-Timeout")
    return int(value)


def nas_restart(kind="Accounting-On", nas=NAS, *, delay=None, received_at=None) -> list[tuple[str, str]]:
    """An Accounting-On or -Off: a NAS starts or stops."""
    attributes = [
        ("Acct-Status-Type", kind),
        ("Tmp-String-0", nas),
        ("Acct-Delay-Time", delay),
        ("Tmp-String-1", None if received_at is None else f"{int(received_at)}.0"),
    ]
    return [(name, str(value)) for name, value in attributes if value is not None]


def report(
    card,
    kind,
    seconds=None,
    classes=(),
    *,
    down=None,
    up=None,
    session_id="8001",
    delay=None,
    device=PHONE,
    nas=NAS,
    later_seconds=None,
    received_at=None,
) -> list[tuple[str, str]]:
    """An accounting packet as rlm_python3 passes it on; None leaves an attribute out.

    FreeRADIUS received it `later_seconds` from now, so that a session can last as long as it reports.
    `received_at` is the same moment, in seconds since 1970.
    """
    if later_seconds is not None:
        received_at = int(time.time() + later_seconds)
    attributes = [
        ("User-Name", card.serial),
        ("Acct-Status-Type", kind),
        ("Acct-Session-Id", session_id),
        ("Calling-Station-Id", device),
        ("Tmp-String-0", nas),
        ("Acct-Session-Time", seconds),
        ("Acct-Delay-Time", delay),
        ("Tmp-String-1", None if received_at is None else f"{int(received_at)}.0"),
        *(("Class", value) for value in classes),
    ]
    for direction, octets in (("Output", down), ("Input", up)):
        if octets is not None:
            attributes.append((f"Acct-{direction}-Octets", octets % 2**32))
            attributes.append((f"Acct-{direction}-Gigawords", octets // 2**32))
    return [(name, str(value)) for name, value in attributes if value is not None]


def reservation_of(shop, card, login_number=1, closes=()) -> Reservation:
    """What a login of this card by its telephone writes, decided on the card as it is now."""
    row = shop.card(card)
    return Reservation(
        card_id=row["id"],
        card_version=row["version"],
        product_id=row["product_id"],
        product_revision=shop.database.value("SELECT revision FROM product WHERE id = %s", [row["product_id"]]),
        login_number=login_number,
        nas_id=1,
        nas_address=NAS,
        device=PHONE,
        due_in_seconds=600,
        due_cause="time",
        granted=Credit(600),
        tariff=Tariff(),
        fup_octets=None,
        interim_seconds=300,
        closes=closes,
        replaces=(),
        activates=False,
        binds_device=False,
        token=7,
    )
