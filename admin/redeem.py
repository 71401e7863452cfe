"""prepaid redeem: a telephony card's credit goes to an account of the voice platform, once."""

import hmac
import re
import secrets

import click

from freeradius_module import settings
from freeradius_module import store as module_store
from freeradius_module.rules import login, serial
from freeradius_module.sealing import pin
from freeradius_module.store import Try

from . import store
from .shell import errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.pin_input import read_pin
from .shell.text import _

# The row of NAS that stands for what is no listed NAS.
NO_NAS = 1
# Of the account no sign could do anything in a spreadsheet or in another program's file.
ACCOUNT = re.compile(r"\+?[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")


def _account(ctx, param, value):
    if not ACCOUNT.fullmatch(value):
        raise click.BadParameter(
            _("{value!r} is not an account: up to 63 letters, digits and . _ @ -, perhaps after a +.").format(
                value=value
            )
        )
    return value


@cli.command()
@click.argument("serial_text", metavar="SERIAL")
@option("--account", required=True, callback=_account, help="The subscriber's account on the voice platform.")
@json_option
@pass_office
def redeem(office, serial_text, account, as_json):
    """Take a telephony card's credit for an account.  The PIN is read from standard input.

    Wrong PINs are counted by card, and by card and account, like those of a login.  The credit is added by the voice
    platform: see 'prepaid voice'.

    \b
    Example:
        prepaid redeem FALE000000016 --account +551133334444 < pin.txt
    """
    rules = settings.load(office.config_path)
    keyring = office.keyring
    card = _proved(office, serial.compact(serial_text), read_pin(), account, rules, keyring)
    reason, refusal = None, None
    with office.transaction() as cursor:
        store.entry.lock(cursor, [card["id"]])
        row = store.card.overview(cursor, card["serial"])
        reason, refusal = _why_not(cursor, card, row)
        if refusal is None:
            number = store.voice.redeem(cursor, card["id"], account)
            credit = store.voice.of_card(cursor, card["id"])
    if refusal is not None:
        if reason is not None:
            _record(office, card["id"], account, reason)
        raise errors.Refused(refusal)
    facts = {
        name: credit[name] for name in ("credit", "serial", "account", "credit_cents", "credit_seconds", "redeemed_at")
    }
    output.print_result(
        facts,
        _("Card {serial} is redeemed: {amounts} for account {account}, credit {number}.").format(
            serial=card["serial"],
            account=account,
            number=number,
            amounts=", ".join(
                output.formatted(name, credit[name])
                for name in ("credit_cents", "credit_seconds")
                if credit[name] is not None
            ),
        ),
        as_json,
    )


def _proved(office, compacted: str, tried: str, account: str, rules: settings.Settings, keyring) -> dict:
    """The card, if this is its PIN.

    A serial that is no card's, a wrong PIN and one wrong PIN too many are answered by one sentence and cost the same
    work, so that nobody learns here which serials there are, or whether a PIN was right while it does not count.
    """
    # Made for every card, because it takes time: an unknown one must not be told by that.
    decoy = pin.seal(secrets.token_urlsafe(12), "decoy", keyring)
    source = f"office/{account}"
    with office.transaction() as cursor:
        card = store.voice.card_to_redeem(cursor, compacted) if compacted else None
        card_id = card["id"] if card else 0
        with office.tuples() as plain:
            ((_found, standing),) = module_store.read_standings(plain, [Try(compacted, source, NO_NAS, source)])
    # All wrong PINs of the card count, of other accounts and of logins too: an account is as easily changed as a device's
    # address.
    is_locked_out = login.is_locked_out(standing, rules.wrong_pin_tries, source)
    if card:
        right = pin.open_sealed(card["pin_sealed"], card["key_number"], card["serial"], keyring)
    else:
        right = pin.open_sealed(decoy[1], decoy[0], "decoy", keyring)
    is_right = hmac.compare_digest(right.encode(), tried.encode("utf-8", "replace"))
    if card and is_right and not is_locked_out:
        return card
    is_folded = not standing.of_source and standing.source_count >= login.SOURCES_MOST
    _record(
        office,
        card_id,
        "*" if is_folded else account,
        "unknown_card" if not card else "locked_out" if is_right else "wrong_pin",
    )
    raise errors.Refused(
        _(
            "Wrong serial number or PIN. After {most} wrong PINs for a card from one account, or {of_all} from several, a "
            "quarter of an hour has to pass."
        ),
        most=rules.wrong_pin_tries,
        of_all=login.card_tries(rules.wrong_pin_tries) // login.NAS_SHARE,
    )


def _record(office, card_id: int, account: str, reason: str) -> None:
    with office.transaction() as cursor:
        store.voice.count_refusal(cursor, card_id, account, reason)


def _why_not(cursor, card: dict, row: dict | None) -> tuple[str | None, str | None]:
    """The word for the history, if there is one for it, and the sentence; (None, None) if nothing stands against it."""
    number = card["serial"]
    if row is None:
        return None, _("Card {serial} is deleted.").format(serial=number)
    if row["kind"] != "telephony":
        return "wrong_kind", _("Card {serial} is for internet: it is used at a hotspot, and not redeemed.").format(
            serial=number
        )
    if row["status"] == "redeemed":
        before = store.voice.of_card(cursor, card["id"])
        return None, _("Card {serial} was redeemed already, on {at} for account {account}.").format(
            serial=number, at=output.formatted("at", before["redeemed_at"]), account=before["account"]
        )
    if row["status"] == "created":
        return "not_delivered", _(
            "Card {serial} has not been delivered to a partner, so nobody can have bought it."
        ).format(serial=number)
    if row["status"] == "blocked":
        return "blocked", _("Card {serial} is blocked by the office. See why: 'prepaid track {serial}'.").format(
            serial=number
        )
    if row["status"] == "expired" or (
        row["expires_at"] is not None and row["expires_at"] <= store.connection.now(cursor)
    ):
        return "expired", _("The validity of card {serial} is over.").format(serial=number)
    if row["status"] != "delivered" or not (row["credit_cents"] or row["credit_seconds"]):
        return "exhausted", _("Card {serial} has no credit.").format(serial=number)
    return None, None
