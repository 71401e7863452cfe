"""prepaid simulate: the reply that a login would get, or why it would be refused; nothing is changed.

The functions of the engine itself read the facts, decide, and make the reply.  Only the PIN counts as proved.
"""

from datetime import UTC, datetime, timedelta

import click

from freeradius_module import attributes, settings
from freeradius_module import store as module_store
from freeradius_module.engine import reply
from freeradius_module.rules import identity, login, messages, refusals, serial
from freeradius_module.rules.usage import by_column
from freeradius_module.rules.vendors import Attribute

from . import store
from .shell import output, selection
from .shell.command import cli, json_option, option, pass_office
from .shell.errors import UnknownCard
from .shell.find import find_nas
from .shell.office import Office
from .shell.option_types import MOMENT
from .shell.text import _
from .store.rows import Cursor, Row, TupleCursor

# This row of the table nas stands for all NAS that FreeRADIUS knows from its own files.
UNLISTED = {"id": 1, "name": "unlisted", "vendor": "generic"}


@cli.command()
@click.argument("serial_text", metavar="SERIAL")
@option("--nas", "nas_name", metavar="NAME", help="The NAS of the login.  [one that is not listed, of vendor generic]")
@option(
    "--at",
    "moment",
    type=MOMENT,
    metavar="TIME",
    help="The time of the login (2026-12-31 18:00), if nothing changes until then.  [now]",
)
@option("--device", help="The device of the login (Calling-Station-Id).  [the one that the card is bound to]")
@json_option
@pass_office
def simulate(
    office: Office, serial_text: str, nas_name: str | None, moment: datetime | None, device: str | None, as_json: bool
) -> None:
    """Show the reply that a login with this card would get, or why it would be refused; nothing is changed.

    It also names the devices that are locked out with this card now, because too many wrong PINs came from them.

    \b
    Example:
        prepaid simulate LIVRE000000016 --nas hotspot-centro
        prepaid simulate LIVRE000000016 --at 2026-12-31T18:00-03:00 --json
    """
    rules = settings.load(office.config_path)
    with office.reading() as cursor:
        nas = find_nas(cursor, nas_name) if nas_name is not None else UNLISTED
        at = moment or store.connection.now(cursor)
        locks: list[Row] = []
        with office.tuples() as plain:
            # Of now: how long reports wait in a queue at another time is not known.
            queue_lag_seconds = module_store.accounting.read_queue_lag(plain)
            store.connection.set_clock(cursor, moment)
            card = _read(plain, serial_text)
            if card is None:
                _hint_at_similar_serials(cursor, serial_text)
                found, product_name = serial.compact(serial_text), None
                answer = _refused("unknown_card", rules.lang)
            else:
                product = module_store.catalogue.read_product(plain, card.product_id)
                device = _device(device, card, product)
                found, product_name = card.serial, product.name
                answer = _answer(plain, card, product, nas, device, at, rules, queue_lag_seconds)
                locks = _locks(cursor, plain, card, rules)
    question = {
        "serial": found,
        "product": product_name,
        "nas": nas["name"],
        "vendor": nas["vendor"],
        "device": device or None,
        "at": at,
    }
    _tell({**question, **answer, "locked_out": locks}, as_json)


def _read(cursor: TupleCursor, serial_text: str) -> login.Card | None:
    """The card as the engine would find it, by what the customer types as User-Name."""
    wanted = serial.compact(serial_text)[: attributes.SERIAL_MAX]
    # Without the PIN: not every account that may look at cards may read PINs.
    return module_store.logins.read_cards(cursor, [wanted], with_pins=False).get(wanted)


def _device(device: str | None, card: login.Card, product: login.Product) -> str:
    if device is None:
        return card.device or "" if product.bind_device else ""
    return attributes.device_of({"Calling-Station-Id": device})


def _answer(
    cursor: TupleCursor,
    card: login.Card,
    product: login.Product,
    nas: Row,
    device: str,
    at: datetime,
    rules: settings.Settings,
    queue_lag_seconds: float,
) -> Row:
    """The decision that the engine would make at this time (UTC), and the reply that it would send."""
    attempt = login.Attempt(card.serial, nas["id"], device, at=at.replace(tzinfo=UTC).timestamp())
    if card.was_tried:
        source = module_store.guessing.Try(card.serial, login.source_of(nas["id"], device), nas["id"], device)
        ((_card_id, standing),) = module_store.guessing.read_standings(cursor, [source])
        attempt = attempt._replace(is_locked_out=login.is_locked_out(standing, rules.wrong_pin_tries, device))
    decision = login.decide(card, product, attempt, rules.longest_session_seconds, queue_lag_seconds)
    if isinstance(decision, login.Refusal):
        return _refused(decision.reason, rules.lang)
    # A Class of the right form and length, but made with a wrong key, so that nobody can use it.
    claim = identity.Claim(card.id, decision.login_number, int(attempt.at))
    class_value = identity.make_class(claim, card.serial, b"simulated")
    attributes_sent = reply.accepted(
        reply.terms(product, nas["vendor"], decision.is_slowed_down),
        nas["vendor"],
        decision,
        card.serial,
        card.expires_in_seconds,
        class_value,
        rules.lang,
        rules.currency,
    )
    return {
        "accepted": True,
        "reason": None,
        "sentence": None,
        "message": messages.accepted(decision, card.expires_in_seconds, rules.lang, rules.currency),
        "limited_by": decision.limited_by,
        "volume_limited_by": decision.volume_limited_by,
        "session_seconds": decision.limits.session_seconds,
        "ends_at": at + timedelta(seconds=decision.limits.session_seconds),
        "session_octets": decision.limits.octets,
        "session_down_octets": decision.limits.down_octets,
        "session_up_octets": decision.limits.up_octets,
        **{f"remaining_{kind}": amount for kind, amount in by_column(decision.balance).items()},
        "slowed_down": decision.is_slowed_down,
        "fup_left_octets": decision.fup_left_octets,
        "login_number": decision.login_number,
        "first_login": decision.activates,
        "binds_device": decision.binds_device,
        "closes": [{"login_number": number, "cause": cause} for number, cause in decision.closes],
        "replaces": decision.replaces,
        "reply": _listed(attributes_sent),
    }


def _locks(cursor: Cursor, plain: TupleCursor, card: login.Card, rules: settings.Settings) -> list[Row]:
    """The sources that are locked out with this card, whichever the question is about: a customer may be one of them."""
    sources = store.refusal.sources_of_wrong_pins(cursor, card.id)
    if not sources:
        return []
    for source in sources:
        source["device"] = source["source"].partition("/")[2]
    tries = [
        module_store.guessing.Try(card.serial, source["source"], source["nas_id"], source["device"])
        for source in sources
    ]
    standings = module_store.guessing.read_standings(plain, tries)
    return [
        {"nas": source["nas"], "device": source["device"] or None, "tries": source["tries"], "until": source["ends_at"]}
        for source, (_card_id, standing) in zip(sources, standings, strict=True)
        if login.is_locked_out(standing, rules.wrong_pin_tries, source["device"])
    ]


def _refused(reason: str, lang: str) -> Row:
    return {
        "accepted": False,
        "reason": reason,
        "sentence": _(refusals.REFUSALS[reason].sentence),
        "message": messages.refused(reason, lang),
        "reply": _listed(reply.refused(reason, lang)),
    }


def _listed(attributes_sent: tuple[Attribute, ...]) -> list[dict[str, str]]:
    return [dict(zip(("attribute", "operator", "value"), one, strict=True)) for one in attributes_sent]


def _hint_at_similar_serials(cursor: Cursor, serial_text: str) -> None:
    try:
        selection.find(cursor, serial_text)
    except UnknownCard as unknown:
        output.print_notice(str(unknown))


def _tell(answer: Row, as_json: bool) -> None:
    if as_json:
        output.print_record(answer, as_json)
        return
    lines, locks = answer.pop("reply"), answer.pop("locked_out")
    answer["closes"] = [
        f"{one['login_number']} ({output.formatted('cause', one['cause'])})" for one in answer.get("closes", ())
    ]
    output.print_record({name: value for name, value in answer.items() if value not in (None, [], ())})
    output.print_text("")
    output.print_attributes(lines)
    for lock in locks:
        sentence = _("Locked out until {until} after {tries} wrong PINs: device {device} at NAS {nas}.")
        output.print_notice(
            sentence.format(
                until=output.formatted("until_at", lock["until"]),
                tries=lock["tries"],
                device=lock["device"] or "-",
                nas=lock["nas"],
            )
        )
