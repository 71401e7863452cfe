"""The NAS, and a login on the running FreeRADIUS."""

from collections.abc import Iterator

from freeradius_module import store as module_store
from freeradius_module.connection import Connection
from freeradius_module.engine.catalogue import Catalogue
from freeradius_module.rules import serial
from freeradius_module.sealing import pin

from ..freeradius import choices, raddb_into, record
from ..freeradius.files import Choice
from ..shell.text import _
from .finding import Finding, Installation
from .radius_client import Client, random_pin, unknown_serial


def check_nas(installation: Installation) -> Iterator[Finding]:
    """There are NAS, every secret can be opened, and every NAS must sign its requests."""
    with installation.office.reading(), installation.office.tuples() as cursor:
        rows = module_store.catalogue.read_nas(cursor)
    unsigned = [row.name for row in rows if not row.require_message_authenticator]
    if unsigned:
        yield Finding(
            "nas",
            "look",
            _("These may leave out Message-Authenticator, so answers to them can be forged: {names}.").format(
                names=", ".join(unsigned)
            ),
            "prepaid nas edit NAME --message-authenticator",
        )
    for row in rows:
        _secret(installation, row)
    if not rows:
        yield Finding("nas", "look", _("There is none."), "prepaid nas add")
    elif not unsigned:
        yield Finding("nas", "ok", str(len(rows)))


def check_login(installation: Installation) -> Iterator[Finding]:
    """FreeRADIUS refuses a serial that does not exist, and accepts the card that the caller gave."""
    choice = choices.installed_choice(
        installation.office, installation.directory, record.read_record(installation.directory)
    )
    if choice.serve == "acct":
        return
    host = _host(choice)
    # FreeRADIUS asks the module's catalogue in the same way which NAS this machine is.
    nas = Catalogue(Connection(installation.module_settings)).nas(host)
    known = raddb_into.client_secret(installation.directory, host) if choice.into else None
    if nas is None and known is None:
        yield Finding(
            "login",
            "look",
            _("No login was tried, because no NAS has the address {address}.").format(address=host),
            f"prepaid nas add doctor --address {host} --secret-file FILE",
        )
        return
    secret = _secret(installation, nas) if known is None and nas else known or ""
    # In a site with other customers too, that site answers a stranger, and FreeRADIUS before 3.2.5 does not sign by itself.
    client = Client(host, choice.auth_port, choice.acct_port, secret.encode(), needs_signature=not choice.into)
    yield _login_of_stranger(client)
    if installation.serial_text and installation.card_pin is not None:
        yield from _login_of_card(client, choice, installation, installation.serial_text, installation.card_pin)


def _host(choice: Choice) -> str:
    """The address at which this machine reaches its own FreeRADIUS."""
    given = [address for address in choice.addresses if address not in ("*", "::")]
    return given[0] if given else ("::1" if choice.addresses == ("::",) else "127.0.0.1")


def _secret(installation: Installation, nas: module_store.catalogue.Nas) -> str:
    return pin.open_nas_secret(nas.secret_sealed, nas.key_number, nas.name, installation.office.keyring)


def _login_of_stranger(client: Client) -> Finding:
    answer = client.log_in(unknown_serial(), random_pin())
    if answer is None:
        return Finding(
            "login",
            "fault",
            _("FreeRADIUS does not answer on {host}, port {port}.").format(host=client.host, port=client.auth_port),
            "systemctl status freeradius; journalctl -u freeradius",
        )
    if answer.is_accept:
        return Finding(
            "login",
            "fault",
            _("A login with a serial that does not exist was accepted."),
            _("Stop FreeRADIUS: something other than prepaid cards answers these logins."),
        )
    return Finding(
        "login",
        "ok",
        _("an unknown serial was refused within {milliseconds} ms").format(milliseconds=round(answer.seconds * 1000)),
    )


def _login_of_card(
    client: Client, choice: Choice, installation: Installation, serial_text: str, card_pin: str
) -> Iterator[Finding]:
    name = "card"
    answer = client.log_in(serial.compact(serial_text), card_pin)
    if answer is None or not answer.is_accept:
        yield Finding(
            name,
            "fault",
            _("Its login was refused: {words}").format(words=answer.words) if answer else _("Its login got no answer."),
            f"prepaid simulate {serial_text}",
        )
        return
    if not answer.session_timeout:
        yield Finding(
            name,
            "fault",
            _("Its login was accepted without a Session-Timeout."),
            f"prepaid raddb check --dir {installation.directory}",
        )
    if choice.serve == "both" and not client.report_unused_session(serial.compact(serial_text), answer):
        yield Finding(
            name,
            "fault",
            _("Its login was accepted, but its accounting is not acknowledged."),
            _("Read FreeRADIUS' log."),
        )
        return
    yield Finding(name, "ok", _("accepted, for {seconds} s").format(seconds=answer.session_timeout))
