"""prepaid key list, add, rotate, retire: change the key that PINs and NAS secrets are sealed with, while logins go on.

A new key waits first, until every machine has it; then it seals, and what the old one sealed is sealed anew, some
cards at a time; when nothing is left, the old one is retired.  Each step can be interrupted and repeated.
"""

import click
import pymysql

from freeradius_module.sealing import keyring, pin

from . import store
from .shell import errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.text import _

# Few enough that a login which needs one of these cards waits for milliseconds.
CARDS_A_STEP = 200
# A server reads its NAS again within seconds, and a card was read just before it is needed.
SETTLED_SECONDS = 60
# Another one has just changed the same cards.
_TRY_AGAIN = {1020, 1205, 1213}
TRIES = 10


@cli.group()
def key():
    """Keys: what PINs and NAS secrets are sealed with, in the key file."""


@key.command("list")
@json_option
@pass_office
def list_(office, as_json):
    """The keys of the key file, and how much is sealed with each.

    \b
    Example:
        prepaid key list
    """
    keys = keyring.load(office.key_file)
    with office.reading() as cursor:
        known = store.connection.key_fingerprints(cursor)
        counts = store.key.sealed_by_key(cursor)
    # A key that is missing in the file is the one to hear of.
    states = dict.fromkeys(counts, "missing") | keys.states
    rows = [
        {
            "number": number,
            "state": states[number],
            "seals": number == keys.sealing_number,
            "fingerprint": known.get(number) or (keys.fingerprint(number) if number in keys.numbers else None),
            **counts.get(number, {"cards": 0, "nas": 0}),
        }
        for number in sorted(states)
    ]
    output.print_rows(rows, as_json)


@key.command()
@json_option
@pass_office
def add(office, as_json):
    """Add a key to the key file.  It waits: nothing is sealed with it before `prepaid key rotate`.

    \b
    Example:
        sudo prepaid key add
    """
    # Asked for before the file is changed: it says whether the file is this database's.
    number = keyring.add_key(office.keyring.path, waiting=True)
    keys = keyring.load(office.key_file)
    with office.transaction() as cursor:
        store.connection.remember_key(cursor, number, keys.fingerprint(number))
    output.print_result(
        {"number": number, "state": "waiting", "fingerprint": keys.fingerprint(number), "file": office.key_file},
        _(
            "Key {number} is added and waits. Copy {file} to every machine that runs FreeRADIUS or prepaid, keep a copy in a "
            "safe, then run 'prepaid key rotate'."
        ).format(number=number, file=office.key_file),
        as_json,
    )


@key.command()
@option("--yes", is_flag=True, help="Do not ask whether every machine has the key, for scripts.")
@json_option
@pass_office
def rotate(office, yes, as_json):
    """Seal with the newest key, and seal anew what older ones sealed.  Logins go on meanwhile.

    If it is interrupted, run it again: it goes on where it was.

    \b
    Example:
        sudo prepaid key rotate
    """
    keys = office.keyring
    waiting = [number for number, state in keys.states.items() if state == "waiting"]
    if waiting:
        number = max(waiting)
        if not yes:
            _ask(
                _(
                    "Has every machine that runs FreeRADIUS or prepaid the key file with key {number} ({fingerprint})?"
                ).format(number=number, fingerprint=keys.fingerprint(number))
            )
    else:
        number = keys.sealing_number
    pin.prepare(keys)
    with office.transaction() as cursor:
        # A key may have been added to the file by hand.  Before it seals, so that who may not do this changes nothing.
        store.connection.remember_key(cursor, number, keys.fingerprint(number))
        total = sum(count["cards"] for old, count in store.key.sealed_by_key(cursor).items() if old != number)
    if waiting:
        keyring.activate_key(office.key_file, number)
        keys = keyring.load(office.key_file)
    nas = _reseal_nas(office, keys)
    with output.progress(total, _("Sealing")) as advance:
        cards = _reseal_cards(office, keys, advance)
    output.print_result(
        {"number": number, "cards": cards, "nas": nas},
        _("Key {number} seals. {cards} cards and {nas} NAS were sealed anew.").format(
            number=number, cards=cards, nas=nas
        ),
        as_json,
    )


@key.command()
@click.argument("number", type=click.IntRange(1, keyring.MAX_NUMBER))
@option("--yes", is_flag=True, help="Do not ask, for scripts.")
@json_option
@pass_office
def retire(office, number, yes, as_json):
    """Let a key open nothing any more, once nothing is sealed with it.

    Its line stays in the key file, because the Class of running sessions goes back to the first key.  Copy the file to
    every machine again.

    \b
    Example:
        sudo prepaid key retire 1
    """
    keys = office.keyring
    if number not in keys.states:
        raise errors.NotFound(
            _("{file} has no key {number}. See them with 'prepaid key list'."), file=office.key_file, number=number
        )
    if not yes and keys.states[number] != "retired":
        _ask(
            _(
                "Retire key {number} for good? Old backups of the database need it: keep a copy of the key file with them."
            ).format(number=number)
        )
    with office.transaction() as cursor:
        store.key.lock_key(cursor, number)
        _require_unused(cursor, number)
        store.key.record_retired(cursor, number)
        # In the file before the commit: what is in the database only would be a key that still opens, and seals nothing.
        if keys.states[number] != "retired":
            keyring.retire_key(office.key_file, number)
    output.print_result(
        {"number": number, "state": "retired"}, _("Key {number} is retired.").format(number=number), as_json
    )


def _ask(question: str) -> None:
    if not output.confirm(question):
        raise errors.Refused(_("Nothing was changed."))


def _reseal_nas(office, keys: keyring.Keyring) -> int:
    changed = 0
    with office.transaction() as cursor:
        for nas in store.key.nas_of_other_keys(cursor, keys.sealing_number):
            secret = pin.open_nas_secret(nas["secret_sealed"], nas["key_number"], nas["name"], keys)
            _number, nas["sealed"] = pin.seal_nas_secret(secret, nas["name"], keys)
            changed += store.key.reseal_nas(cursor, keys.sealing_number, nas)
        if changed:
            store.key.record_resealed(cursor)
    return changed


def _reseal_cards(office, keys: keyring.Keyring, advance) -> int:
    """All cards, again and again until a whole pass finds none: cards are made meanwhile, by who has the old key file."""
    changed, before = 0, None
    while before != changed:
        before, after_id = changed, 0
        while cards := _next_cards(office, keys.sealing_number, after_id):
            for card in cards:
                code = pin.open_sealed(card["pin_sealed"], card["key_number"], card["serial"], keys)
                _number, card["sealed"] = pin.seal(code, card["serial"], keys)
            changed += _reseal_step(office, keys.sealing_number, cards)
            after_id = cards[-1]["id"]
            advance(len(cards))
    return changed


def _next_cards(office, number: int, after_id: int) -> list[dict]:
    with office.transaction() as cursor:
        return store.key.cards_of_other_keys(cursor, number, after_id, CARDS_A_STEP)


def _reseal_step(office, number: int, cards: list[dict]) -> int:
    """One small transaction; tried again where a login or another command is at the same cards."""
    for attempt in range(1, TRIES + 1):
        try:
            with office.transaction() as cursor:
                changed = store.key.reseal_cards(cursor, number, cards)
                store.key.record_resealed(cursor)
                return changed
        except pymysql.MySQLError as error:
            if error.args[0] not in _TRY_AGAIN or attempt == TRIES:
                raise
    raise AssertionError("the last try returns or raises")


def _require_unused(cursor, number: int) -> None:
    left = store.key.sealed_by_key(cursor).get(number)
    if left:
        raise errors.Refused(
            _(
                "{cards} cards and {nas} NAS are still sealed with key {number}. Run 'prepaid key rotate' first. Nothing was "
                "changed."
            ),
            number=number,
            **left,
        )
    seconds = store.key.seconds_since_resealed(cursor)
    if seconds is not None and seconds < SETTLED_SECONDS:
        raise errors.Refused(
            _(
                "Cards were sealed anew {seconds} seconds ago, and servers may still use what they read before. Wait {wait} "
                "seconds more. Nothing was changed."
            ),
            seconds=seconds,
            wait=SETTLED_SECONDS - seconds,
        )
