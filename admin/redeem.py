"""prepaid redeem: the credit of a telephony card goes to an account of the voice platform, once."""

import hmac
import re
import secrets
from typing import NamedTuple

import click

from freeradius_module import settings
from freeradius_module import store as module_store
from freeradius_module.rules import login, serial
from freeradius_module.sealing import pin
from freeradius_module.sealing.keyring import Keyring
from freeradius_module.store.guessing import Try

from . import store
from .shell import errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.office import Office
from .shell.pin_input import read_pin
from .shell.text import _
from .store.rows import Cursor, Row

# The row of the table nas that stands for every NAS that is not listed.
UNLISTED_NAS = 1
# No character of it has a meaning in a spreadsheet or in another program's file.
ACCOUNT = re.compile(r"\+?[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")


class Refusal(NamedTuple):
    """Why a card cannot be redeemed: the word for the history, if it is counted there, and the sentence."""

    reason: str | None
    sentence: str


def _account(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if not ACCOUNT.fullmatch(value):
        raise click.BadParameter(
            _("{value!r} is not an account: up to 63 letters, digits and . _ @ -, optionally after a +.").format(
                value=value
            )
        )
    return value


@cli.command()
@click.argument("serial_text", metavar="SERIAL")
@option("--account", required=True, callback=_account, help="The subscriber's account on the voice platform.")
@json_option
@pass_office
def redeem(office: Office, serial_text: str, account: str, as_json: bool) -> None:
    """Redeem a telephony card: its credit goes to an account.  The PIN is read from standard input.

    Wrong PINs are limited as for a login, for each card, and for each card and account.  The voice platform adds the
    credit: see 'prepaid voice'.

    \b
    Example:
        prepaid redeem FALE000000016 --account +551133334444 < pin.txt
    """
    rules = settings.load(office.config_path)
    keyring = office.keyring
    card = _proved(office, serial.compact(serial_text), read_pin(), account, rules, keyring)
    credit = _redeem(office, card, account)
    facts = {
        name: credit[name] for name in ("credit", "serial", "account", "credit_cents", "credit_seconds", "redeemed_at")
    }
    amounts = [
        output.formatted(name, credit[name]) for name in ("credit_cents", "credit_seconds") if credit[name] is not None
    ]
    output.print_result(
        facts,
        _("Card {serial} was redeemed: {amounts} for account {account}, credit {number}.").format(
            serial=card["serial"], account=account, number=credit["credit"], amounts=", ".join(amounts)
        ),
        as_json,
    )


def _redeem(office: Office, card: Row, account: str) -> Row:
    """Redeem a card whose PIN is proved; returns the credit for the voice platform.  A refusal is counted."""

    def use_up(cursor: Cursor) -> Refusal | Row:
        store.entry.lock(cursor, [card["id"]])
        refusal = _refusal(cursor, card, store.card.overview(cursor, card["serial"]))
        if refusal is not None:
            return refusal
        store.voice.redeem(cursor, card["id"], account)
        return _credit(cursor, card)

    done = office.change(use_up)
    if not isinstance(done, Refusal):
        return done
    if done.reason is not None:
        _count_refusal(office, card["id"], account, done.reason)
    raise errors.Refused(done.sentence)


def _proved(
    office: Office, compacted: str, tried: str, account: str, rules: settings.Settings, keyring: Keyring
) -> Row:
    """The card, if this is its PIN.

    An unknown serial, a wrong PIN, and a PIN that does not count because of too many wrong ones before get the same
    sentence and cost the same work.  So nobody can find out here which serials exist, or whether a PIN was right.
    """
    # Sealed for every card, because it takes time: otherwise the time would reveal an unknown serial.
    decoy = pin.seal(secrets.token_urlsafe(12), "decoy", keyring)
    source = f"office/{account}"

    def read(cursor: Cursor) -> tuple[Row | None, login.Standing]:
        card = store.voice.card_to_redeem(cursor, compacted) if compacted else None
        with office.tuples() as plain:
            tried_as = Try(compacted, source, UNLISTED_NAS, source)
            ((_found, standing),) = module_store.guessing.read_standings(plain, [tried_as])
        return card, standing

    card, standing = office.change(read)
    # Wrong PINs from other accounts and at logins count too: an account is as easy to change as a device's address.
    is_locked_out = login.is_locked_out(standing, rules.wrong_pin_tries, source)
    if card:
        right = pin.open_sealed(card["pin_sealed"], card["key_number"], card["serial"], keyring)
    else:
        right = pin.open_sealed(decoy[1], decoy[0], "decoy", keyring)
    is_right = hmac.compare_digest(right.encode(), tried.encode("utf-8", "replace"))
    if card and is_right and not is_locked_out:
        return card
    # Only so many accounts are counted one by one; the others share a row.
    is_shared = not standing.of_source and standing.source_count >= login.SOURCES_MOST
    _count_refusal(
        office,
        card["id"] if card else 0,
        "*" if is_shared else account,
        "unknown_card" if not card else "locked_out" if is_right else "wrong_pin",
    )
    raise errors.Refused(
        _(
            "Wrong serial number or PIN. After {most} wrong PINs for a card from one account, or {of_all} from several, wait "
            "a quarter of an hour."
        ),
        most=rules.wrong_pin_tries,
        of_all=login.card_tries(rules.wrong_pin_tries) // login.NAS_SHARE,
    )


def _count_refusal(office: Office, card_id: int, account: str, reason: str) -> None:
    office.change(lambda cursor: store.voice.count_refusal(cursor, card_id, account, reason))


def _credit(cursor: Cursor, card: Row) -> Row:
    """The credit of a redeemed card."""
    credit = store.voice.of_card(cursor, card["id"])
    if credit is None:
        raise LookupError(f"The redeemed card {card['serial']} has no credit.")
    return credit


def _refusal(cursor: Cursor, card: Row, row: Row | None) -> Refusal | None:
    """Why a locked card cannot be redeemed; None if it can.  *row* is its overview, None if it is deleted."""
    number = card["serial"]
    if row is None:
        return Refusal(None, _("Card {serial} is deleted.").format(serial=number))
    if row["kind"] != "telephony":
        sentence = _("Card {serial} is for internet: it is used at a hotspot, and cannot be redeemed.")
        return Refusal("wrong_kind", sentence.format(serial=number))
    if row["status"] == "redeemed":
        before = _credit(cursor, card)
        sentence = _("Card {serial} was already redeemed, on {at} for account {account}.")
        at = output.formatted("at", before["redeemed_at"])
        return Refusal(None, sentence.format(serial=number, at=at, account=before["account"]))
    if row["status"] == "created":
        sentence = _("Card {serial} has not been delivered to a partner, so nobody can have bought it.")
        return Refusal("not_delivered", sentence.format(serial=number))
    if row["status"] == "blocked":
        sentence = _("Card {serial} is blocked by the office. See why: 'prepaid track {serial}'.")
        return Refusal("blocked", sentence.format(serial=number))
    is_over = row["expires_at"] is not None and row["expires_at"] <= store.connection.now(cursor)
    if row["status"] == "expired" or is_over:
        return Refusal("expired", _("The validity of card {serial} is over.").format(serial=number))
    if row["status"] != "delivered" or not (row["credit_cents"] or row["credit_seconds"]):
        return Refusal("exhausted", _("Card {serial} has no credit.").format(serial=number))
    return None
