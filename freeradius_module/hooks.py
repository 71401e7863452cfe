"""What FreeRADIUS calls: the only file that knows the module radiusd.

FreeRADIUS' section   function       answer
authorize             authorize      the PIN to be proved, as Cleartext-Password
post-auth             post_auth      Accept with limits, or Reject with the reason
Post-Auth-Type REJECT login_refused  (counts a wrong PIN; changes nothing)
accounting            accounting     acknowledged after the commit, or not at all
dynamic clients       client         the NAS' secret
(prepaid_beside)      whose          whether User-Name is a card's, in a site that serves other customers, too

rlm_python3 is strict about return values: None counts as OK, an Enum as FAIL, and -1 kills the server.  So every function
returns one of radiusd's own RLM_MODULE_ integers, and every exception becomes FAIL, which sends the NAS no answer: the NAS
then asks the next server.
"""

import threading
import time
from collections.abc import Mapping

import radiusd

from . import attributes, settings
from .connection import DatabaseAway, TooLate
from .engine import read_mark
from .engine.accounting import NeverCharged
from .engine.client import EngineClient, EngineFault
from .engine.engine import Engine, safe_text
from .engine.logins import Answer
from .engine.whose import Names, Whose
from .event_log import Outage, line
from .rules import card_form, freeradius_versions
from .rules.vendors import Attribute
from .sealing.keyring import KeyFileClosed

# One engine for all instances of this radiusd, which share this module: so they share statements, too.
_engine: Engine | EngineClient | None = None
# What is known about names, where this FreeRADIUS also serves other customers.
_names = Names()
# Where it does, a fault in our files does not stop it: the engine is made later, when the fault is repaired.
_waits = False
_instances = 0
_next_try = 0.0
_try_guard = threading.Lock()
_next_complaint = 0.0

# "text" or "json", from the option file.
_log_format = "text"
# While the database is away, each NAS repeats each packet: one line a second is enough.
_outage = Outage()

# As FreeRADIUS gives a packet: its attributes as pairs of name and value, or None if there are none.
Packet = tuple[tuple[str, str], ...] | None
# What FreeRADIUS takes: a code, or a code, attributes of the reply and attributes of "config".
Returned = int | tuple[int, tuple[Attribute, ...], tuple[Attribute, ...]]

# How soon the option file is read again after a fault in it.
TRY_AGAIN_SECONDS = 5.0
COMPLAINT_SECONDS = 1.0
# How many characters of a reason a record of the quarantine holds.
REASON_MAX = 160


def instantiate(_packet: object) -> int:
    """Make the engine, or stop the server with a sentence in its log.  A database that is away does not stop it: the
    database may start later.  Nothing stops a server that also serves other customers: then cards get no answer."""
    global _engine, _names, _waits, _instances
    _instances += 1
    if _engine is not None:
        _engine.set_serial(False)
        return 0
    config = getattr(radiusd, "config", None) or {}
    _waits = config.get("serves_others") == "yes"
    if _waits and _instances > 1:
        return 0
    try:
        _names = Names(card_form.read(config.get("card_forms", "")))
        _engine = _made_engine(config)
    except Exception as fault:
        # FreeRADIUS would ignore an exception and serve without this module; only -1 stops it.
        _log_error(_start_fault(fault))
        if not _waits:
            return -1
        _log_error(
            "until this is repaired, prepaid cards get no answer; other customers are served. 'prepaid doctor' says more"
        )
    return 0


class RefusedVersion(Exception):
    """A FreeRADIUS that cannot serve prepaid cards."""

    def __init__(self, version: str):
        super().__init__(f"FreeRADIUS {version} ignores what a Python module returns. Install 3.2.8 or 3.2.11.")


def _made_engine(config: dict[str, str]) -> Engine | EngineClient:
    """The engine that the option file describes; any exception if it cannot be made."""
    version = config.get("server_version", "")
    if freeradius_versions.is_refused(version):
        raise RefusedVersion(version)
    global _log_format
    found = settings.load(config.get("option_file"))
    _log_format = found.log
    own = _own_engine(found)
    engine = EngineClient(found, own) if found.engine or own is None else own
    engine.set_serial(_instances == 1)
    return engine


def _start_fault(fault: Exception) -> str:
    return str(fault) if isinstance(fault, RefusedVersion) else f"{type(fault).__name__}: {fault}"


def _own_engine(found: settings.Settings) -> Engine | None:
    """The engine of this process; None where only the shared engine may read the password and the key."""
    try:
        if found.engine and found.closed:
            raise KeyFileClosed(f"{', '.join(found.closed)} may not be read")
        engine = Engine(found)
    except KeyFileClosed as closed:
        if not found.engine:
            raise
        _log(
            radiusd.L_INFO,
            "engine_only",
            f"prepaid-cards: The shared engine at {found.engine} alone decides and charges; while it is away, "
            f"logins get no answer and accounting is queued or not answered ({closed})",
        )
        return None
    try:
        engine.check()
    except DatabaseAway as away:
        _log_error(f"The database is away, starting nevertheless: {away}", "database_away")
    return engine


def authorize(packet: Packet) -> Returned:
    """Answer a login that proves its PIN by itself (PAP, CHAP), or return the PIN that has to be proved.

    FreeRADIUS' own modules (pap, chap, mschap, eap) check the PIN in either case.
    """
    try:
        request = attributes.values(packet)
        result = _the_engine().authorize(request)
    except Exception as fault:
        return _no_answer("login", fault)
    _answers_again()
    pin = ("Cleartext-Password", ":=", result.pin)
    if result.answer is None:
        return radiusd.RLM_MODULE_UPDATED, (), (pin, ("Tmp-String-6", ":=", read_mark.make(request)))
    return _answered(request, result.answer, pin)


def post_auth(packet: Packet) -> Returned:
    """Decide a login whose PIN is proved.  Nothing has been revealed or written before this.

    The site calls this after FreeRADIUS' own module has found the PIN right.  A login that authorize has not marked gets no
    answer: there was no PIN that it could have proved.
    """
    try:
        request = attributes.values(packet)
        if not read_mark.is_on(request):
            _log_error("no answer to a login: authorize has not marked it")
            return radiusd.RLM_MODULE_FAIL
        answer = _the_engine().admit(request)
    except Exception as fault:
        return _no_answer("login", fault)
    _answers_again()
    return _answered(request, answer)


def _answered(request: Mapping[str, str], answer: Answer, *config: Attribute) -> Returned:
    if not answer.is_accepted:
        _log_refusal(request, answer.reason, answer.log)
        return radiusd.RLM_MODULE_REJECT, answer.reply, (("Tmp-String-7", ":=", answer.reason),)
    # The site counts the reply's attributes: FreeRADIUS drops one that it does not know, and sends the others.
    return radiusd.RLM_MODULE_UPDATED, answer.reply, (("Tmp-Integer-7", ":=", str(len(answer.reply))), *config)


def login_refused(packet: Packet) -> Returned:
    """Count a wrong PIN.  The Reject is sent whether this succeeds or not; its text is the same whether the serial exists
    or not."""
    try:
        engine = _the_engine()
    except EngineFault as fault:
        return _no_answer("wrong PIN", fault)
    try:
        request = attributes.values(packet)
        text = engine.record_wrong_pin(request)
        _log_refusal(request, text.rpartition(": ")[2], text)
    except Exception as fault:
        _log_error(f"a wrong PIN was not counted: {type(fault).__name__}")
    return radiusd.RLM_MODULE_OK, (("Reply-Message", ":=", engine.wrong_text),), ()


def accounting(packet: Packet) -> Returned:
    """Charge what this report adds; it is acknowledged after the commit.

    While the database is away this returns FAIL: the site puts the packet into the queue, or sends no answer.  For a packet
    that can never be charged (of an unknown card) it returns NOTFOUND with the reason: the site acknowledges the packet
    when it is in the quarantine, because otherwise the NAS would repeat it for ever.
    """
    try:
        told = _the_engine().account(packet or ())
    except NeverCharged as fault:
        _log(radiusd.L_INFO, "never_charged", str(fault))
        reason = str(fault).encode("ascii", "backslashreplace").decode()[:REASON_MAX].replace("\0", " ")
        return radiusd.RLM_MODULE_NOTFOUND, (), (("Tmp-String-7", ":=", reason),)
    except Exception as fault:
        return _no_answer("packet of accounting", fault)
    _answers_again()
    if told:
        _log(radiusd.L_INFO, "nas_restarted", told)
    # The site acknowledges only this: FreeRADIUS reads OK from a forgotten return, too.
    return radiusd.RLM_MODULE_UPDATED


def client(packet: Packet) -> Returned:
    """The NAS at an address that FreeRADIUS does not know, or no longer knows."""
    try:
        found = _the_engine().client(attributes.values(packet).get(attributes.SOURCE_ADDRESS, ""))
    except Exception as fault:
        return _no_answer("client", fault)
    if found is None:
        return radiusd.RLM_MODULE_NOTFOUND
    return (
        radiusd.RLM_MODULE_OK,
        (),
        (
            ("FreeRADIUS-Client-Secret", ":=", found.secret),
            ("FreeRADIUS-Client-Shortname", ":=", found.name),
            ("FreeRADIUS-Client-NAS-Type", ":=", "other"),
            ("FreeRADIUS-Client-Require-MA", ":=", "yes" if found.require_message_authenticator else "no"),
        ),
    )


def whose(packet: Packet) -> int:
    """Whose User-Name is: OK for a card's, NOOP for another customer's, UPDATED where only the database could say, and it
    is away."""
    try:
        found = _names.whose(attributes.serial_of(attributes.values(packet)), _is_card)
    except Exception as fault:
        return _no_answer("question for a name", fault)
    if found is Whose.CARD:
        return radiusd.RLM_MODULE_OK
    return radiusd.RLM_MODULE_NOOP if found is Whose.OTHER else radiusd.RLM_MODULE_UPDATED


def _is_card(serial: str) -> bool:
    global _next_complaint
    try:
        return _the_engine().is_card(serial)
    except Exception as fault:
        # Every customer of the site is asked for, so one line a second is enough.
        if time.monotonic() >= _next_complaint:
            _next_complaint = time.monotonic() + COMPLAINT_SECONDS
            _no_answer("question whether a name is a card's; its form decides", fault)
        raise


def detach(_packet: object = None) -> int:
    """FreeRADIUS ends: close every socket, because 3.2.1 aborts in Py_FinalizeEx if one is open."""
    if _engine is not None:
        _engine.close()
    return 0


def _the_engine() -> Engine | EngineClient:
    global _engine, _next_try
    if _engine is not None:
        return _engine
    if not _waits:
        raise RuntimeError("FreeRADIUS has not called instantiate")
    with _try_guard:
        if _engine is None:
            if time.monotonic() < _next_try:
                raise EngineFault("prepaid cards are not set up yet; see the fault above")
            _next_try = time.monotonic() + TRY_AGAIN_SECONDS
            try:
                _engine = _made_engine(getattr(radiusd, "config", None) or {})
            except Exception as fault:
                raise EngineFault(_start_fault(fault)) from None
            _log_error("the fault is repaired: prepaid cards are served")
        return _engine


def _no_answer(what: str, fault: Exception) -> int:
    """FAIL, with the reason in the log; while the database is away, once a second."""
    text = f"no answer to a {what}: {fault if isinstance(fault, EngineFault) else safe_text(fault)}"
    if not isinstance(fault, DatabaseAway) or isinstance(fault, TooLate):
        _log_error(text, "no_answer")
    elif count := _outage.lost():
        more = f"; {count} without an answer since the last such line" if count > 1 else ""
        _log_error(text + more, "database_away", count=count)
    return radiusd.RLM_MODULE_FAIL


def _answers_again() -> None:
    """A request was done that needs the database: if it was away before, say once that it is back."""
    if _outage.is_on and (count := _outage.ended()):
        text = f"prepaid-cards: The database is back; {count} packets got no answer while it was away"
        _log(radiusd.L_INFO, "database_back", text, count=count)


def _log_refusal(request: Mapping[str, str], reason: str, text: str) -> None:
    serial = attributes.serial_of(request)[: attributes.SERIAL_MAX]
    _log(
        radiusd.L_AUTH, "login_refused", text, serial=serial, reason=reason, nas=request.get(attributes.SOURCE_ADDRESS)
    )


def _log_error(text: str, event: str = "fault", **fields: str | int | None) -> None:
    _log(radiusd.L_ERR, event, f"prepaid-cards: {text}", **fields)


def _log(level: int, event: str, text: str, **fields: str | int | None) -> None:
    """On one line, because the text may hold what a customer has sent."""
    radiusd.radlog(level, line(_log_format, "freeradius", event, text, **fields))
