"""prepaid credit, transfer: credit is added or moved by hand, as compensating entries; history is never edited."""

from collections.abc import Mapping
from datetime import date, datetime

import click

from freeradius_module.rules import units
from freeradius_module.rules.usage import CREDIT_COLUMNS

from . import cards, store
from .shell import errors, output, selection
from .shell.command import cli, json_option, option, pass_office
from .shell.office import Office
from .shell.option_types import DAY_OR_MOMENT, Amount
from .shell.shared_options import rehearsal_option
from .shell.text import _, in_context
from .store.rows import Cursor, Row

# The largest values of an entry's columns.
MOST = {"seconds": 2**31 - 1, "cents": 2**31 - 1}


def _stripped(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise click.BadParameter(_("it is empty."))
    return value and value.strip()


reason_option = option("--reason", required=True, callback=_stripped, help="The reason, for the history.")
key_option = option(
    "--key",
    metavar="KEY",
    callback=_stripped,
    help="A key for this entry: repeating the command with the same key on the same card changes nothing.",
)


@cli.command()
@click.argument("serial")
@option(
    "--add",
    "amount",
    required=True,
    type=Amount("credit", units.parse_credit),
    metavar="CREDIT",
    help="How much: time (10m), traffic (500MB) or money (5.00).",
)
@option(
    "--direction",
    type=click.Choice(["down", "up"]),
    help="The direction, if the product counts download and upload separately.",
)
@option(
    "--expires",
    type=DAY_OR_MOMENT,
    metavar="DATE",
    help="Also change the end of the validity: the last day of use, or a moment.",
)
@reason_option
@key_option
@rehearsal_option
@json_option
@pass_office
def credit(
    office: Office,
    serial: str,
    amount: tuple[str, int],
    direction: str | None,
    expires: date | datetime | None,
    reason: str,
    key: str | None,
    as_json: bool,
) -> None:
    """Add credit to a card, of a kind that its product has.  An exhausted card works again.

    \b
    Example:
        prepaid credit LIVRE000000016 --add 10m --reason "Hotspot was down" --key ticket-4711
        prepaid credit LIVRE000000016 --add 500MB --expires 2026-12-31 --reason "Storm"
    """

    def add(cursor: Cursor) -> tuple[Row, dict[str, int], bool]:
        card = selection.find(cursor, serial)
        store.entry.lock(cursor, [card["id"]])
        before = _overview(cursor, card)
        added = {_kind(before, amount[0], direction): amount[1]}
        _require_room(added)
        until = cards.end_of(expires) if expires is not None else None
        repeated = _is_made(cursor, card, key, {"what": "credited", "expires_at": until, **added})
        if not repeated:
            _require_usable(before)
            _require_valid(before, until, store.connection.now(cursor))
            store.entry.add(cursor, card["id"], "credited", reason, added, key, expires_at=until)
            if until is not None:
                store.card.end_sessions_by(cursor, card["id"], until)
                store.card.reopen_expired(cursor, card["id"])
            _reopen_exhausted(cursor, card)
        return cards.public(_overview(cursor, card)), added, repeated

    after, added, repeated = office.change(add, reason)
    facts = {**{f"added_{kind}": amount for kind, amount in added.items()}, "repeated": repeated, **after}
    sentence = (
        _("Card {serial} was credited before with this key. Nothing was changed.")
        if repeated
        else _("Added to card {serial}: {amounts}.")
    )
    output.print_result(facts, sentence.format(serial=after["serial"], amounts=_amounts(added)), as_json)


@cli.command()
@click.argument("source")
@click.argument("target")
@reason_option
@key_option
@rehearsal_option
@json_option
@pass_office
def transfer(office: Office, source: str, target: str, reason: str, key: str | None, as_json: bool) -> None:
    """Move all remaining credit of a card to another card; the first card is then exhausted.

    The first card must have no open session: disconnect it, or block it if it was stolen.  The validity is not moved.

    \b
    Example:
        prepaid block LIVRE000000016 --reason "Stolen"
        prepaid transfer LIVRE000000016 LIVRE000000024 --reason "Replacement, ticket 4711"
    """
    facts, still_on = office.change(lambda cursor: _transfer(cursor, source, target, reason, key), reason)
    if still_on:
        output.print_notice(
            _(
                "Card {serial} is blocked, but one of its sessions is still open: no card pays for what it uses from now on."
            ).format(serial=facts["from"])
        )
    moved = {kind: facts[f"moved_{kind}"] for kind in CREDIT_COLUMNS if facts[f"moved_{kind}"]}
    sentence = (
        _("Moved before with this key, from card {source} to card {target}: {amounts}. Nothing was changed.")
        if facts["repeated"]
        else _("Moved from card {source} to card {target}: {amounts}.")
    )
    output.print_result(
        facts, sentence.format(amounts=_amounts(moved), source=facts["from"], target=facts["to"]), as_json
    )


def _transfer(cursor: Cursor, source: str, target: str, reason: str, key: str | None) -> tuple[Row, bool]:
    """Move the credit; returns what was moved, and whether a session of the first card may still use it."""
    giver, taker = selection.find(cursor, source), selection.find(cursor, target)
    if giver["id"] == taker["id"]:
        raise errors.Refused(_("Both serials are card {serial}. Name two cards."), serial=giver["serial"])
    store.entry.lock(cursor, [giver["id"], taker["id"]])
    entry = store.entry.made_with_key(cursor, giver["id"], key) if key else None
    if entry:
        # The entry must have taken credit away: a transfer back is another act, and needs another key.
        gave = {kind: min(entry[kind], 0) for kind in CREDIT_COLUMNS}
        _require_same(key, entry, {"what": "transferred", "other_card_id": taker["id"], **gave})
        return _transferred(giver, taker, {kind: -amount for kind, amount in gave.items()}, repeated=True), False
    # Before the balance is read.  A login that is being decided at this moment is not recorded: the entry below changes
    # the card, and a login is recorded only for the card as it was read.
    store.entry.lock_sessions(cursor, giver["id"])
    here, there = _overview(cursor, giver), _overview(cursor, taker)
    left = _left_to_move(cursor, giver, here)
    _require_usable(there)
    _require_taker(here, there, left)
    _require_valid(there, None, store.connection.now(cursor))
    store.entry.add(cursor, giver["id"], "transferred", reason, {kind: -left[kind] for kind in left}, key, taker["id"])
    store.entry.add(cursor, taker["id"], "transferred", reason, left, key, giver["id"])
    _exhaust(cursor, giver)
    _reopen_exhausted(cursor, taker)
    return _transferred(giver, taker, left, repeated=False), bool(store.entry.open_sessions(cursor, giver["id"]))


def _transferred(giver: Row, taker: Row, moved: Mapping[str, int], repeated: bool) -> Row:
    return {
        "from": giver["serial"],
        "to": taker["serial"],
        **{f"moved_{kind}": moved.get(kind, 0) for kind in CREDIT_COLUMNS},
        "repeated": repeated,
    }


# --- What is refused --------------------------------------------------------------------------------------


def _overview(cursor: Cursor, card: Row) -> Row:
    """The card's balance and status; read it after the card is locked."""
    row = store.card.overview(cursor, card["serial"])
    if row is None:
        raise errors.Refused(_("Card {serial} is deleted. Nothing was changed."), serial=card["serial"])
    return row


def _require_usable(row: Row) -> None:
    """Refuse to add credit to a card that could not use it."""
    if row["status"] == "redeemed":
        raise errors.Refused(
            _("Card {serial} is redeemed: its credit is on the voice platform. Nothing was changed."),
            serial=row["serial"],
        )
    if row["status"] == "blocked":
        raise errors.Refused(
            _("Card {serial} is blocked. Unblock it first: 'prepaid unblock {serial}'. Nothing was changed."),
            serial=row["serial"],
        )
    if row["status"] == "exhausted" and row["first_login_at"] is None:
        # Its validity would never begin.
        raise errors.Refused(
            _(
                "The credit of card {serial} was moved to another card before its first login, so it cannot be used any "
                "more. Take another card. Nothing was changed."
            ),
            serial=row["serial"],
        )


def _require_valid(row: Row, until: datetime | None, now: datetime) -> None:
    """Refuse to add credit to a card whose validity is over, unless *until*, its new end, is in the future (all UTC)."""
    end = until or row["expires_at"]
    if (end is not None and end <= now) or (until is None and row["status"] == "expired"):
        raise errors.Refused(
            _(
                "The validity of card {serial} is over, so credit could not be used. Extend it: 'prepaid credit … --expires "
                "DATE', or 'prepaid edit {serial} --expires DATE --reason TEXT'. Nothing was changed."
            ),
            serial=row["serial"],
        )


def _kind(row: Row, unit: str, direction: str | None) -> str:
    """The kind of credit (see CREDIT_COLUMNS) that an amount in this unit is for; refused if the product lacks it.

    >>> row = {"serial": "A17", "credit_octets": None, "credit_down_octets": 5, "credit_up_octets": None}
    >>> _kind(row, "octets", None)
    'down_octets'
    >>> _kind({**row, "credit_up_octets": 5}, "octets", "up")
    'up_octets'
    """
    if direction and unit != "octets":
        raise errors.WrongUsage(_("--direction is only for traffic."))
    kinds = (
        [unit] if unit != "octets" else [f"{direction}_octets"] if direction else ["octets", "down_octets", "up_octets"]
    )
    had = [kind for kind in kinds if row[f"credit_{kind}"] is not None]
    if not had:
        raise errors.Refused(
            _("The product of card {serial} has no {kind}, so none can be added. It has: {others}."),
            serial=row["serial"],
            kind=_word(kinds[0]),
            others=", ".join(_word(kind) for kind in CREDIT_COLUMNS if row.get(f"credit_{kind}") is not None),
        )
    if len(had) > 1:
        raise errors.WrongUsage(
            _(
                "The product of card {serial} counts download and upload separately. Say which: --direction down, or "
                "--direction up."
            ),
            serial=row["serial"],
        )
    return had[0]


def _require_room(added: Mapping[str, int]) -> None:
    """Refuse an amount of zero, and one that the entry's column cannot hold."""
    for kind, amount in added.items():
        if amount == 0:
            raise errors.WrongUsage(_("A credit of zero changes nothing. Give an amount."))
        if amount > MOST.get(kind, units.MAX_OCTETS):
            raise errors.Refused(_("A card cannot hold {amounts}. Nothing was changed."), amounts=_amounts(added))


def _is_made(cursor: Cursor, card: Row, key: str | None, wanted: Mapping[str, object]) -> bool:
    """Whether the card has an entry with this key; one with other values than wanted is refused."""
    entry = store.entry.made_with_key(cursor, card["id"], key) if key else None
    if entry:
        _require_same(key, entry, wanted)
    return entry is not None


def _require_same(key: str | None, entry: Row, wanted: Mapping[str, object]) -> None:
    """Refuse a key that was used for another entry: other amounts are another act, or a mistake."""
    if any(entry[name] != value for name, value in wanted.items()):
        raise errors.Refused(
            _(
                "The key {key!r} was used for another entry of this card, on {at} by {operator}. Nothing was changed. Use "
                "another key."
            ),
            key=key,
            at=output.formatted("at", entry["at"]),
            operator=entry["operator"],
        )


def _left_to_move(cursor: Cursor, giver: Row, row: Row) -> dict[str, int]:
    """What is left of each kind of credit; refused if it cannot be moved."""
    status = row["status"]
    alive = row["status_before_block"] if status == "blocked" else status
    if alive not in ("delivered", "in_use"):
        raise errors.Refused(
            _("Card {serial} is {status}, so it has no credit to move. Nothing was changed."),
            serial=giver["serial"],
            status=in_context("word", alive),
        )
    left = _left(row)
    if 0 in left.values():
        raise errors.Refused(_("Card {serial} has no credit left. Nothing was changed."), serial=giver["serial"])
    if status != "blocked" and store.entry.open_sessions(cursor, giver["id"]):
        raise errors.Refused(
            _(
                "Card {serial} has an open session. Disconnect it ('prepaid disconnect {serial}') or block the card "
                "('prepaid block {serial}'). Nothing was changed."
            ),
            serial=giver["serial"],
        )
    return left


def _left(row: Row) -> dict[str, int]:
    """What is left of each kind of credit that a card has, by kind."""
    row = cards.public(row)
    return {kind: int(row[f"remaining_{kind}"]) for kind in CREDIT_COLUMNS if row[f"remaining_{kind}"] is not None}


def _require_taker(here: Row, there: Row, left: Mapping[str, int]) -> None:
    """Refuse a receiving card (*there*) that is in stock, or that lacks the kind of a credit in *left*."""
    if there["status"] == "created":
        raise errors.Refused(
            _("Card {serial} is in stock. Deliver it first. Nothing was changed."), serial=there["serial"]
        )
    if there["kind"] != here["kind"]:
        raise errors.Refused(
            _("One card is for {kind}, the other for {other_kind}. Nothing was changed."),
            kind=in_context("word", here["kind"]),
            other_kind=in_context("word", there["kind"]),
        )
    for kind in left:
        if there[f"credit_{kind}"] is None:
            raise errors.Refused(
                _(
                    "The product of card {serial} has no {kind}, so the card cannot receive any. Choose a card of a "
                    "similar product. Nothing was changed."
                ),
                serial=there["serial"],
                kind=_word(kind),
            )


# --- What follows -----------------------------------------------------------------------------------------


def _reopen_exhausted(cursor: Cursor, card: Row) -> None:
    """Let an exhausted card work again, if it has some of every kind of credit."""
    row = _overview(cursor, card)
    if row["status"] == "exhausted" and 0 not in _left(row).values():
        store.entry.set_status(cursor, card["id"], "in_use")


def _exhaust(cursor: Cursor, giver: Row) -> None:
    """Make the card that gave its credit exhausted; a blocked card stays blocked.

    A card that was never used becomes in_use first.  As 'delivered' it could be returned and sold again.
    """
    row = _overview(cursor, giver)
    is_blocked = row["status"] == "blocked"
    if is_blocked and row["status_before_block"] != "delivered":
        return
    if is_blocked:
        store.entry.set_status(cursor, giver["id"], "delivered")
    if "delivered" in (row["status"], row["status_before_block"]):
        store.entry.set_status(cursor, giver["id"], "in_use")
    store.entry.set_status(cursor, giver["id"], "exhausted")
    if is_blocked:
        store.entry.set_status(cursor, giver["id"], "blocked")


# --- Words ------------------------------------------------------------------------------------------------


def _amounts(added: Mapping[str, int]) -> str:
    return ", ".join(output.formatted(f"added_{kind}", amount) for kind, amount in added.items())


def _word(kind: str) -> str:
    return output.title(f"credit_{kind}")
