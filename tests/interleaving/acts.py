"""Every act that touches a card, done by the product's own code as its caller calls it.

An act gets the side that does it (a FreeRADIUS and an office) and the case (a card).  It returns its result in one word,
or AGAIN where the caller would send the packet or run the command again.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

import pymysql

from admin import archive, block, cards, credit, custody, key, redeem, store
from admin.shell import errors
from freeradius_module.connection import DatabaseAway
from freeradius_module.sealing import keyring, pin
from tests.engine_callers import LAPTOP, PHONE, arrival, report, request
from tests.interleaving.steps import AGAIN
from tests.interleaving.world import OCTETS, PARTNER, Case, Side, forget_failures


class Act(NamedTuple):
    run: Callable[[Side, Case], object]
    states: tuple[str, ...]  # in which it is tried
    # Whether it is done every minute or night anyway, and may leave for the next time what others hold.
    is_periodic: bool = False
    needs_target: bool = False


# --- FreeRADIUS -----------------------------------------------------------------------------------------


def _packet(side: Side, work: Callable[[], object]) -> object:
    """An unanswered packet comes again seconds later; by then the engine tries a database again that was away."""
    try:
        return work()
    except (DatabaseAway, pymysql.MySQLError) as fault:
        side.unanswered.append(repr(fault))
        forget_failures(side.engine)
        return AGAIN


def log_in(device: str = PHONE, code: str | None = None) -> Callable[[Side, Case], object]:
    def run(side, case):
        asked = request(case.card, device, case.nas) | arrival(case.asked_at)
        asked["User-Password"] = code or case.card.pin

        def work():
            handout = side.engine.authorize(asked)
            if handout.answer is None:
                # As FreeRADIUS does after a wrong PIN.
                side.engine.record_wrong_pin(asked)
                return "wrong_pin"
            return "accepted" if handout.answer.is_accepted else handout.answer.reason

        return _packet(side, work)

    return run


def account(kind: str, number: int, seconds: int | None, down: int = 0, up: int = 0, *, delay: int = 1) -> Callable:
    """A packet of session 800{number}.  It was sent a second ago, so before the acts at the same time."""
    session_id = f"800{number}"

    def run(side, case):
        def work():
            line = side.engine.account(
                report(
                    case.card,
                    kind,
                    seconds,
                    case.classes.get(number, ()),
                    session_id=session_id,
                    down=down,
                    up=up,
                    nas=case.nas,
                    delay=delay,
                )
            )
            case.charged(session_id, seconds or 0, down, up)
            return line or "charged"

        return _packet(side, work)

    return run


def nas_starts(side: Side, case: Case) -> object:
    pairs = [
        ("Acct-Status-Type", "Accounting-On"),
        ("Acct-Session-Id", "0"),
        ("Tmp-String-0", case.nas),
        ("Tmp-String-2", f"0x{case.unused_key:>032}"),
    ]
    return _packet(side, lambda: side.engine.account(pairs) and "closed")


# --- The office -----------------------------------------------------------------------------------------


def command(command, *arguments: str) -> Callable[[Side, Case], object]:
    """A command; the case replaces {serial}, {target}, {partner} and {key} in its arguments."""

    def run(side, case):
        names = {
            "serial": case.card.serial,
            "target": case.target and case.target.serial,
            "holder": case.card.partner,
            "partner": PARTNER,
            "key": case.unused_key,
        }
        _pin_of_thread.pin = case.card.pin
        return _office(
            side,
            lambda: command.main(
                [argument.format(**names) for argument in arguments],
                prog_name="prepaid",
                obj=side.office,
                standalone_mode=False,
            ),
        )

    return run


def _office(side: Side, work: Callable[[], object]) -> object:
    try:
        work()
    except errors.OfficeError as error:
        return _refused(side, error)
    except pymysql.MySQLError as error:
        return _refused(side, errors.of_database(error))
    return "done"


def _refused(side: Side, error: errors.OfficeError) -> object:
    if isinstance(error, errors.NotReachable):
        side.office.close()
    if isinstance(error, errors.NotReachable | errors.Busy):
        return AGAIN
    # Without its message, which differs if another act has changed the reason meanwhile.
    return "refused"


_pin_of_thread = threading.local()


def pin_of_thread() -> str:
    """The standard input of `redeem`."""
    return _pin_of_thread.pin


def keep_house(side: Side, case: Case) -> object:
    return _office(side, side.enforcer.keep_house)


def enforce(side: Side, case: Case) -> object:
    return _office(side, side.enforcer.look)


def move_to_archive(side: Side, case: Case) -> object:
    try:
        archive.Mover(side.owner).archive(older_than_days=2, step=200)
    except pymysql.MySQLError:
        # A command's connection ends with the command.
        side.owner._force_close()
        return AGAIN
    return "done"


def reseal(side: Side, case: Case) -> object:
    """One step of `key rotate`, for this card."""

    def work():
        keys = keyring.load(side.office.key_file)
        with side.office.transaction() as cursor:
            found = store.key.cards_of_other_keys(cursor, keys.sealing_number, case.card.id - 1, 1)
        for card in found:
            code = pin.open_sealed(card["pin_sealed"], card["key_number"], card["serial"], keys)
            _number, card["sealed"] = pin.seal(code, card["serial"], keys)
        if found:
            key.reseal_step(side.office, keys.sealing_number, found)

    return _office(side, work)


ACTS = {
    "login": Act(log_in(), ("in_use", "on", "single", "reserved")),
    "first_login": Act(log_in(), ("delivered",)),
    "other_login": Act(log_in(LAPTOP), ("on", "in_use")),
    "wrong_pin": Act(log_in(LAPTOP, "9876543210"), ("delivered",)),
    "start": Act(account("Start", 2, None), ("reserved",)),
    "interim": Act(account("Interim-Update", 2, 395, 4000, 2000), ("on", "taken_over")),
    "exhaust": Act(account("Interim-Update", 2, 395, OCTETS, 2000), ("both", "on")),
    "stop": Act(account("Stop", 2, 395, 4000, 2000), ("on",)),
    # Sent before the takeover of its session, and late; in the state "old", a packet of an archived session.
    "late_interim": Act(account("Interim-Update", 1, 350, 3500, 1750, delay=110), ("taken_over",)),
    "late_stop": Act(account("Stop", 1, 100, 1000, 500, delay=3 * 86_400 + 3600), ("old",)),
    "nas_on": Act(nas_starts, ("on",)),
    "block": Act(command(block.block, "{serial}", "--reason", "Stolen"), ("on", "in_use", "delivered")),
    "unblock": Act(command(block.unblock, "{serial}", "--yes"), ("blocked",)),
    "return": Act(command(custody.return_, "--partner", "{holder}", "--range", "{serial}-{serial}"), ("delivered",)),
    "deliver": Act(command(custody.deliver, "--partner", "{partner}", "--range", "{serial}-{serial}"), ("created",)),
    "credit": Act(
        command(credit.credit, "{serial}", "--add", "500KB", "--reason", "Storm", "--key", "{key}"), ("exhausted", "on")
    ),
    "transfer": Act(
        command(credit.transfer, "{serial}", "{target}", "--reason", "Torn", "--key", "{key}"),
        ("in_use", "delivered"),
        needs_target=True,
    ),
    "expire": Act(keep_house, ("overdue",), True),
    "archive": Act(move_to_archive, ("old",), True),
    "enforce": Act(enforce, ("revived", "disconnected", "blocked"), True),
    "reseal": Act(reseal, ("in_use",)),
    "edit": Act(command(cards.edit, "{serial}", "--expires", "2090-01-01", "--reason", "Storm"), ("expired", "on")),
    "shorten": Act(command(cards.edit, "{serial}", "--expires", "2020-01-01T00:00:00", "--reason", "Mistake"), ("on",)),
    "delete": Act(command(block.delete, "{serial}", "--reason", "Misprinted", "--yes"), ("created",)),
    "redeem": Act(command(redeem.redeem, "{serial}", "--account", "+551133334444"), ("telephony",)),
}
