"""prepaid credit, transfer: credit added or moved by hand, as compensating entries; history is never edited."""

import click

from freeradius_module.rules import units

from . import cards, store
from .shell import errors, output, selection
from .shell.command import cli, json_option, option, pass_office
from .shell.option_types import DAY_OR_MOMENT, Amount
from .shell.text import _, in_context

# What the columns of an entry hold.
MOST = {"seconds": 2**31 - 1, "cents": 2**31 - 1}


def reason_option(command):
    return option("--reason", required=True, callback=_stripped, help="Why, for the history.")(command)


def key_option(command):
    return option(
        "--key",
        metavar="KEY",
        callback=_stripped,
        help="A name for this act: the same key on the same card acts once, however often it is sent.",
    )(command)


def _stripped(ctx, param, value):
    if value is not None and not value.strip():
        raise click.BadParameter(_("it is empty."))
    return value and value.strip()


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
    help="Which traffic, where the product has download and upload apart.",
)
@option(
    "--expires",
    type=DAY_OR_MOMENT,
    metavar="DATE",
    help="Also move the end of validity: the last day of use, or a moment in UTC.",
)
@reason_option
@key_option
@json_option
@pass_office
def credit(office, serial, amount, direction, expires, reason, key, as_json):
    """Add credit to a card, of a kind that its product has.  A card that was used up works again.

    \b
    Example:
        prepaid credit LIVRE000000016 --add 10m --reason "Hotspot was down" --key ticket-4711
        prepaid credit LIVRE000000016 --add 500MB --expires 2026-12-31 --reason "Storm"
    """
    with office.transaction(reason=reason) as cursor:
        card = selection.find(cursor, serial)
        store.entry.lock(cursor, [card["id"]])
        before = _now(cursor, card)
        added = {_kind(before, amount[0], direction): amount[1]}
        _require_room(added)
        until = cards.end_of(cursor, card, expires) if expires is not None else None
        entry = key and store.entry.made_with_key(cursor, card["id"], key)
        if entry:
            _require_same(key, entry, {"what": "credited", "expires_at": until, **added})
        else:
            _require_alive(before)
            _require_open_end(before, until, store.connection.now(cursor))
            store.entry.add(cursor, card["id"], "credited", reason, added, key, expires_at=until)
            if until is not None:
                store.card.end_sessions_by(cursor, card["id"], until)
                store.card.reopen_expired(cursor, card["id"])
            _reopen_used_up(cursor, card)
        after = cards.public(store.card.overview(cursor, card["serial"]))
    facts = {**_named(added), "repeated": bool(entry), **after}
    sentence = (
        _("Card {serial} was credited before, with this key. Nothing was changed.")
        if entry
        else _("Card {serial} has {amounts} more.")
    )
    output.print_result(facts, sentence.format(serial=card["serial"], amounts=_amounts(added)), as_json)


@cli.command()
@click.argument("source")
@click.argument("target")
@reason_option
@key_option
@json_option
@pass_office
def transfer(office, source, target, reason, key, as_json):
    """Move all that is left on a card to another card; the first is used up then.

    Nobody may be on with the first card: disconnect it, or block it if it was stolen.  Validity is not moved.

    \b
    Example:
        prepaid block LIVRE000000016 --reason "Stolen"
        prepaid transfer LIVRE000000016 LIVRE000000024 --reason "Replacement, ticket 4711"
    """
    facts = _transfer(office, source, target, reason, key)
    moved = {kind: facts[f"moved_{kind}"] for kind in store.entry.KINDS if facts[f"moved_{kind}"]}
    sentence = (
        _("{amounts} of card {source} were moved to {target} before, with this key. Nothing was changed.")
        if facts["repeated"]
        else _("{amounts} moved from card {source} to card {target}.")
    )
    output.print_result(
        facts, sentence.format(amounts=_amounts(moved), source=facts["from"], target=facts["to"]), as_json
    )


def _transfer(office, source: str, target: str, reason: str, key: str | None) -> dict:
    with office.transaction(reason=reason) as cursor:
        giver, taker = selection.find(cursor, source), selection.find(cursor, target)
        if giver["id"] == taker["id"]:
            raise errors.Refused(_("Card {serial} is both cards. Name two."), serial=giver["serial"])
        store.entry.lock(cursor, [giver["id"], taker["id"]])
        entry = key and store.entry.made_with_key(cursor, giver["id"], key)
        if entry:
            moved = {kind: -entry[kind] for kind in store.entry.KINDS}
            # An entry that gave, not one that took: the same key must not stand for the way back.
            _require_same(
                key,
                entry,
                {
                    "what": "transferred",
                    "other_card_id": taker["id"],
                    **{kind: min(entry[kind], 0) for kind in store.entry.KINDS},
                },
            )
            return _transferred(giver, taker, moved, repeated=True)
        # Before anything is read of its balance.  A login that is being decided is not written any more: the entry below
        # changes the card that it was decided on.
        store.entry.lock_sessions(cursor, giver["id"])
        here, there = _now(cursor, giver), _now(cursor, taker)
        left = _left_on(cursor, giver, here)
        _require_alive(there)
        _require_taker(here, there, left)
        _require_open_end(there, None, store.connection.now(cursor))
        store.entry.add(
            cursor, giver["id"], "transferred", reason, {kind: -left[kind] for kind in left}, key, taker["id"]
        )
        store.entry.add(cursor, taker["id"], "transferred", reason, left, key, giver["id"])
        _use_up(cursor, giver)
        _reopen_used_up(cursor, taker)
        return _transferred(giver, taker, left, repeated=False)


def _transferred(giver: dict, taker: dict, moved: dict, repeated: bool) -> dict:
    return {
        "from": giver["serial"],
        "to": taker["serial"],
        **{f"moved_{kind}": moved.get(kind, 0) for kind in store.entry.KINDS},
        "repeated": repeated,
    }


# --- What is refused --------------------------------------------------------------------------------------


def _now(cursor, card: dict) -> dict:
    """The card as it is, now that it is locked."""
    row = store.card.overview(cursor, card["serial"])
    if row is None:
        raise errors.Refused(_("Card {serial} is deleted. Nothing was changed."), serial=card["serial"])
    return row


def _require_alive(row: dict) -> None:
    """One that is out of use takes no credit."""
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
                "The credit of card {serial} was moved away before its first use, so it is of no use any "
                "more. Take another card. Nothing was changed."
            ),
            serial=row["serial"],
        )


def _require_open_end(row: dict, until, now) -> None:
    """Credit on a card whose validity is over would be of no use."""
    end = until or row["expires_at"]
    if (end is not None and end <= now) or (until is None and row["status"] == "expired"):
        raise errors.Refused(
            _(
                "The validity of card {serial} is over, so credit would be of no use. Extend it: 'prepaid credit … --expires "
                "DATE', or 'prepaid edit {serial} --expires DATE --reason TEXT'. Nothing was changed."
            ),
            serial=row["serial"],
        )


def _kind(row: dict, unit: str, direction: str | None) -> str:
    """The kind of credit that an amount is meant for, if the product has it.

    >>> row = {"serial": "A17", "credit_octets": None, "credit_down_octets": 5, "credit_up_octets": None}
    >>> _kind(row, "octets", None)
    'down_octets'
    >>> _kind({**row, "credit_up_octets": 5}, "octets", "up")
    'up_octets'
    """
    if direction and unit != "octets":
        raise errors.WrongUsage(_("--direction is about traffic."))
    kinds = (
        [unit] if unit != "octets" else [f"{direction}_octets"] if direction else ["octets", "down_octets", "up_octets"]
    )
    had = [kind for kind in kinds if row[f"credit_{kind}"] is not None]
    if not had:
        raise errors.Refused(
            _("The product of card {serial} has no {kind}, so none is added. It has: {others}."),
            serial=row["serial"],
            kind=_word(kinds[0]),
            others=", ".join(_word(kind) for kind in store.entry.KINDS if row.get(f"credit_{kind}") is not None),
        )
    if len(had) > 1:
        raise errors.WrongUsage(
            _("Card {serial} has download and upload apart. Say which: --direction down, or up."), serial=row["serial"]
        )
    return had[0]


def _require_room(added: dict) -> None:
    for kind, amount in added.items():
        if amount == 0:
            raise errors.WrongUsage(_("A credit of zero changes nothing. Say how much."))
        if amount > MOST.get(kind, units.MAX_OCTETS):
            raise errors.Refused(
                _("{amounts} are more than a card holds. Nothing was changed."), amounts=_amounts(added)
            )


def _require_same(key: str, entry: dict, wanted: dict) -> None:
    """A key stands for one act: with other amounts it is another act, or a mistake."""
    if any(entry[name] != value for name, value in wanted.items()):
        raise errors.Refused(
            _(
                "The key {key!r} was used for another entry of this card, on {at} by {operator}. Nothing was changed. Take "
                "another key."
            ),
            key=key,
            at=output.formatted("at", entry["at"]),
            operator=entry["operator"],
        )


def _left_on(cursor, giver: dict, row: dict) -> dict[str, int]:
    """What is left of each kind, once it is certain that it can be moved."""
    status = row["status"]
    alive = row["status_before_block"] if status == "blocked" else status
    if alive not in ("delivered", "in_use"):
        raise errors.Refused(
            _("Card {serial} is {status}, so there is nothing to be moved. Nothing was changed."),
            serial=giver["serial"],
            status=in_context("word", alive),
        )
    left = _left(row)
    if 0 in left.values():
        raise errors.Refused(_("Card {serial} has no credit left. Nothing was changed."), serial=giver["serial"])
    open_sessions = store.entry.open_sessions(cursor, giver["id"])
    if open_sessions and status != "blocked":
        raise errors.Refused(
            _(
                "Somebody is on with card {serial}. Disconnect it ('prepaid disconnect {serial}') or block it "
                "('prepaid block {serial}'). Nothing was changed."
            ),
            serial=giver["serial"],
        )
    if open_sessions:
        output.print_notice(
            _(
                "Card {serial} is blocked, but a session of it is still on: what it uses from now on is not paid by "
                "any card."
            ).format(serial=giver["serial"])
        )
    return left


def _left(row: dict) -> dict[str, int]:
    """What is left of each kind of credit that a card has."""
    row = cards.public(row)
    return {kind: int(row[f"remaining_{kind}"]) for kind in store.entry.KINDS if row[f"remaining_{kind}"] is not None}


def _require_taker(here: dict, there: dict, left: dict) -> None:
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
                    "The product of card {serial} has no {kind}, so it cannot take it over. Choose a card of a "
                    "like product. Nothing was changed."
                ),
                serial=there["serial"],
                kind=_word(kind),
            )


# --- What follows -----------------------------------------------------------------------------------------


def _reopen_used_up(cursor, card: dict) -> None:
    """A used-up card that has something of every kind again works again."""
    row = store.card.overview(cursor, card["serial"])
    if row["status"] == "exhausted" and 0 not in _left(row).values():
        store.entry.set_status(cursor, card["id"], "in_use")


def _use_up(cursor, giver: dict) -> None:
    """The card that gave is used up.  One that was never used must not look so: it could be returned and sold again.

    A blocked one stays blocked.
    """
    row = store.card.overview(cursor, giver["serial"])
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


def _named(added: dict) -> dict:
    return {f"added_{kind}": amount for kind, amount in added.items()}


def _amounts(added: dict) -> str:
    return ", ".join(output.formatted(f"added_{kind}", amount) for kind, amount in added.items())


def _word(kind: str) -> str:
    return output.title(f"credit_{kind}")
