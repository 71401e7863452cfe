"""prepaid key list, add, rotate, retire: change the key that seals PINs and NAS secrets, while logins continue.

A new key waits until every machine has it.  Then it seals, and what the old key sealed is sealed again, some cards at a
time.  When nothing is sealed with the old key any more, it is retired.  Each step can be interrupted and repeated.
"""

from collections.abc import Callable

import click
import pymysql
from pymysql.constants import ER

from freeradius_module.sealing import keyring, pin

from . import store
from .shell import errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.office import Office
from .shell.shared_options import list_options, require_yes, yes_option
from .shell.text import _
from .store.rows import Cursor, Row

# A login with one of these cards waits until they are written.  A FreeRADIUS of one Python instance waits at most 50 ms
# (freeradius_module/engine/group_commit.py), and then does not answer; 20 cards take some 5 ms, 20 on a busy machine.
CARDS_A_STEP = 20
# A server reads its NAS again within seconds, and a card just before it decides on its login.
STALE_SECONDS = 60
TRIES = 10
LISTED = ("number", "state", "seals", "fingerprint", "cards", "nas")


@cli.group()
def key() -> None:
    """Keys: they seal PINs and NAS secrets, and are kept in the key file."""


@key.command("list")
@list_options
@pass_office
def list_(office: Office, as_json: bool) -> None:
    """List the keys of the key file, and how much is sealed with each.

    \b
    Example:
        prepaid key list
    """
    keys = keyring.load(office.key_file)
    with office.reading() as cursor:
        known = store.connection.key_fingerprints(cursor)
        counts = store.key.sealed_by_key(cursor)
    # A key that sealed something but is not in the file is listed too.
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
    output.print_rows(rows, as_json, LISTED)


@key.command()
@json_option
@pass_office
def add(office: Office, as_json: bool) -> None:
    """Add a key to the key file.  It waits: nothing is sealed with it before `prepaid key rotate`.

    \b
    Example:
        sudo prepaid key add
    """
    # office.keyring comes first: it refuses the key file of another installation before the file is changed.
    number = keyring.add_key(office.keyring.path, waiting=True)
    keys = keyring.load(office.key_file)
    office.change(lambda cursor: store.connection.remember_key(cursor, number, keys.fingerprint(number)))
    output.print_result(
        {"number": number, "state": "waiting", "fingerprint": keys.fingerprint(number), "file": office.key_file},
        _(
            "Key {number} was added and waits. Copy {file} to every machine that runs FreeRADIUS or prepaid, keep a copy in a "
            "safe, then run 'prepaid key rotate'."
        ).format(number=number, file=office.key_file),
        as_json,
    )


@key.command()
@option("--yes", is_flag=True, help="Do not ask whether every machine has the key (for scripts).")
@json_option
@pass_office
def rotate(office: Office, yes: bool, as_json: bool) -> None:
    """Seal with the newest key, and seal again what older keys sealed.  Logins continue meanwhile.

    If it is interrupted, run it again: it continues where it stopped.

    \b
    Example:
        sudo prepaid key rotate
    """
    keys = office.keyring
    waiting = [number for number, state in keys.states.items() if state == "waiting"]
    if waiting:
        number = max(waiting)
        if not yes:
            question = _(
                "Does every machine that runs FreeRADIUS or prepaid have the key file with key {number} ({fingerprint})?"
            )
            require_yes(question.format(number=number, fingerprint=keys.fingerprint(number)))
    else:
        number = keys.sealing_number
    pin.prepare(keys)

    def remember(cursor: Cursor) -> int:
        # The key may have been added to the file by hand.  This comes before the file is changed, so that an account without
        # the right to do it changes nothing.
        store.connection.remember_key(cursor, number, keys.fingerprint(number))
        return sum(count["cards"] for old, count in store.key.sealed_by_key(cursor).items() if old != number)

    total = office.change(remember)
    if waiting:
        keyring.activate_key(office.key_file, number)
        keys = keyring.load(office.key_file)
    nas = _reseal_nas(office, keys)
    with output.progress(total, _("Sealing")) as advance:
        cards = _reseal_cards(office, keys, advance)
    output.print_result(
        {"number": number, "cards": cards, "nas": nas},
        _("Key {number} now seals. {cards} cards and {nas} NAS were sealed again.").format(
            number=number, cards=cards, nas=nas
        ),
        as_json,
    )


@key.command()
@click.argument("number", type=click.IntRange(1, keyring.MAX_NUMBER))
@yes_option
@json_option
@pass_office
def retire(office: Office, number: int, yes: bool, as_json: bool) -> None:
    """Retire a key with which nothing is sealed any more; from then on it opens nothing.

    Its line stays in the key file, because the Class attribute of sessions is made with the first key of the file.  Copy
    the file to every machine again.

    \b
    Example:
        sudo prepaid key retire 1
    """
    keys = office.keyring
    if number not in keys.states:
        raise errors.NotFound(
            _("{file} has no key {number}. See the keys with 'prepaid key list'."), file=office.key_file, number=number
        )
    if not yes and keys.states[number] != "retired":
        question = _(
            "Retire key {number} for good? Old backups of the database need it: keep a copy of the key file with them."
        )
        require_yes(question.format(number=number))

    def record(cursor: Cursor) -> None:
        store.key.lock_key(cursor, number)
        _require_unused(cursor, number)
        store.key.record_retired(cursor, number)
        # The file changes before the commit: if only the database recorded it, the key would still open.
        if keyring.load(office.key_file).states[number] != "retired":
            keyring.retire_key(office.key_file, number)

    office.change(record)
    output.print_result(
        {"number": number, "state": "retired"}, _("Key {number} was retired.").format(number=number), as_json
    )


def _reseal_nas(office: Office, keys: keyring.Keyring) -> int:
    """Seal all NAS secrets with the newest key; returns how many were sealed again."""

    def reseal(cursor: Cursor) -> int:
        changed = 0
        for nas in store.key.nas_of_other_keys(cursor, keys.sealing_number):
            secret = pin.open_nas_secret(nas["secret_sealed"], nas["key_number"], nas["name"], keys)
            _number, nas["sealed"] = pin.seal_nas_secret(secret, nas["name"], keys)
            changed += store.key.reseal_nas(cursor, keys.sealing_number, nas)
        if changed:
            store.key.record_resealed(cursor)
        return changed

    return office.change(reseal)


def _reseal_cards(office: Office, keys: keyring.Keyring, advance: Callable[[int], object]) -> int:
    """Seal all PINs with the newest key; returns how many were sealed again.

    It passes over the cards until a pass finds none, because a machine with the old key file may generate cards meanwhile.
    """
    changed, before = 0, -1
    while before != changed:
        before, after_id = changed, 0
        while cards := _next_cards(office, keys.sealing_number, after_id):
            for card in cards:
                code = pin.open_sealed(card["pin_sealed"], card["key_number"], card["serial"], keys)
                _number, card["sealed"] = pin.seal(code, card["serial"], keys)
            changed += reseal_step(office, keys.sealing_number, cards)
            after_id = cards[-1]["id"]
            advance(len(cards))
    return changed


def _next_cards(office: Office, number: int, after_id: int) -> list[Row]:
    return office.change(lambda cursor: store.key.cards_of_other_keys(cursor, number, after_id, CARDS_A_STEP))


def reseal_step(office: Office, number: int, cards: list[Row]) -> int:
    """Write the new seals of some cards in one transaction; tries again if a login or a command holds the same cards.

    *number* is the new key's; each card has its new seal as 'sealed'.  Returns how many cards were changed.
    """

    def reseal(cursor: Cursor) -> int:
        changed = store.key.reseal_cards(cursor, number, cards)
        store.key.record_resealed(cursor)
        return changed

    for attempt in range(1, TRIES + 1):
        try:
            return office.change(reseal)
        except (pymysql.MySQLError, errors.LostRaces) as error:
            if not _is_held(error) or attempt == TRIES:
                raise
    raise AssertionError("the last try returns or raises")


def _is_held(error: Exception) -> bool:
    """Whether somebody else holds or has just changed the same cards."""
    return isinstance(error, errors.LostRaces) or error.args[:1] == (ER.LOCK_WAIT_TIMEOUT,)


def _require_unused(cursor: Cursor, number: int) -> None:
    """Refuse to retire a key that sealed something, or that servers may still need for what they have just read."""
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
    if seconds is not None and seconds < STALE_SECONDS:
        raise errors.Refused(
            _(
                "Cards or NAS were sealed again {seconds} seconds ago, and servers may still use what they read before. Wait "
                "{wait} more seconds. Nothing was changed."
            ),
            seconds=seconds,
            wait=STALE_SECONDS - seconds,
        )
