"""What FreeRADIUS calls: the only file that knows the module radiusd.

FreeRADIUS' section   function       answer
authorize             authorize      the PIN to be proved, as Cleartext-Password
post-auth             post_auth      Accept with limits, or Reject with the reason
Post-Auth-Type REJECT login_refused  (counts a wrong PIN; changes nothing)
accounting            accounting     acknowledged after the commit, or not at all
dynamic clients       client         the NAS' secret

What rlm_python3 makes of a return value is unforgiving: None counts as OK, an Enum as FAIL, -1 kills the server.
Every function therefore returns one of radiusd's own RLM_MODULE_ integers, and FAIL, which is no answer to
the NAS, is what any exception becomes: the NAS then asks the next server.
"""

import radiusd

from . import attributes, settings
from .connection import DatabaseAway
from .engine import read_mark
from .engine.accounting import NeverCharged
from .engine.client import EngineClient, EngineFault
from .engine.engine import Engine, safe_text
from .engine.logins import Answer
from .printable import one_line
from .rules import freeradius_versions
from .sealing.keyring import KeyFileClosed

# One engine for all instances of this radiusd (they share this module): they share statements through it.
_engine: Engine | EngineClient | None = None

# As much of a reason as a record of the quarantine takes.
REASON_MAX = 160


def instantiate(_packet) -> int:
    """Open shop, or stop the server with a sentence.  A database that is away is no reason: it may start later."""
    global _engine
    if _engine is not None:
        _engine.serve_alone(False)
        return 0
    try:
        config = getattr(radiusd, "config", None) or {}
        version = config.get("server_version", "")
        if freeradius_versions.is_refused(version):
            _log_error(f"FreeRADIUS {version} loses what a Python module answers. Install 3.2.8 or 3.2.11.")
            return -1
        found = settings.load(config.get("option_file"))
        own = _own_engine(found)
    except Exception as fault:
        # FreeRADIUS ignores an exception here and would serve without us; only -1 stops it.
        _log_error(f"{type(fault).__name__}: {fault}")
        return -1
    _engine = EngineClient(found, own) if found.engine else own
    _engine.serve_alone(True)
    return 0


def _own_engine(found: settings.Settings) -> Engine | None:
    """What decides in this process; None where the shared engine alone may read the password and the key."""
    try:
        if found.engine and found.closed:
            raise KeyFileClosed(f"{', '.join(found.closed)} may not be read")
        engine = Engine(found)
    except KeyFileClosed as closed:
        if not found.engine:
            raise
        _log(
            radiusd.L_INFO,
            f"prepaid-cards: The shared engine at {found.engine} alone decides and charges; while it is away, "
            f"logins get no answer and accounting is queued or not answered ({closed})",
        )
        return None
    try:
        engine.check()
    except DatabaseAway as away:
        _log_error(f"The database is away, starting nevertheless: {away}")
    return engine


def authorize(packet):
    """Answer a login that proves its PIN by itself (PAP, CHAP), or hand over the PIN that has to be proved.

    FreeRADIUS' own modules (pap, chap, mschap, eap) do the checking either way.
    """
    try:
        request = _request(packet)
        handout = _engine.authorize(request)
    except Exception as fault:
        return _no_answer("login", fault)
    pin = ("Cleartext-Password", ":=", handout.pin)
    if handout.answer is None:
        return radiusd.RLM_MODULE_UPDATED, (), (pin, ("Tmp-String-6", ":=", read_mark.make(request)))
    return _answered(handout.answer, pin)


def post_auth(packet):
    """Decide, now that the PIN is proved.  Nothing has been revealed or written before this.

    The site calls this after FreeRADIUS' own module has found the PIN right.  A login that authorize has not marked is not
    answered: its PIN was never there to be proved.
    """
    try:
        request = _request(packet)
        if not read_mark.is_on(request):
            _log_error("no answer to a login: authorize has not marked it")
            return radiusd.RLM_MODULE_FAIL
        answer = _engine.admit(request)
    except Exception as fault:
        return _no_answer("login", fault)
    return _answered(answer)


def _answered(answer: Answer, *config):
    if not answer.is_accepted:
        _log(radiusd.L_AUTH, answer.log)
        return radiusd.RLM_MODULE_REJECT, answer.reply, (("Tmp-String-7", ":=", answer.reason),)
    # The site counts the reply: FreeRADIUS drops an attribute that it does not know and sends the rest.
    return radiusd.RLM_MODULE_UPDATED, answer.reply, (("Tmp-Integer-7", ":=", str(len(answer.reply))), *config)


def login_refused(packet):
    """Count a wrong PIN.  The Reject leaves whether this succeeds or not, with one text for every stranger."""
    try:
        _log(radiusd.L_AUTH, _engine.record_wrong_pin(_request(packet)))
    except Exception as fault:
        _log_error(f"a wrong PIN was not counted: {type(fault).__name__}")
    return radiusd.RLM_MODULE_OK, (("Reply-Message", ":=", _engine.wrong_text),), ()


def accounting(packet):
    """Charge what this report adds; acknowledged once that is committed.

    While the database is away the answer is FAIL: the site puts the packet into the queue, or stays silent.  For what can
    never be charged (an unknown card) it is NOTFOUND with the reason: the site acknowledges it when it is in the
    quarantine, or the NAS would repeat it for ever.
    """
    try:
        line = _engine.account(packet or ())
    except NeverCharged as fault:
        radiusd.radlog(radiusd.L_INFO, str(fault))
        reason = str(fault).encode("ascii", "backslashreplace").decode()[:REASON_MAX].replace("\0", " ")
        return radiusd.RLM_MODULE_NOTFOUND, (), (("Tmp-String-7", ":=", reason),)
    except Exception as fault:
        return _no_answer("packet of accounting", fault)
    if line:
        _log(radiusd.L_INFO, line)
    # Only this is acknowledged by the site: OK is also what a forgotten return would be.
    return radiusd.RLM_MODULE_UPDATED


def client(packet):
    """Who is at this address?  Asked by FreeRADIUS for an address that it does not know (yet, or any more)."""
    try:
        found = _engine.client(_request(packet).get(attributes.SOURCE_ADDRESS, ""))
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


def detach(_packet=None) -> int:
    return 0


def _request(packet) -> dict[str, str]:
    return attributes.values(packet)


def _no_answer(what: str, fault: Exception) -> int:
    """FAIL, and why."""
    _log_error(f"no answer to a {what}: {fault if isinstance(fault, EngineFault) else safe_text(fault)}")
    return radiusd.RLM_MODULE_FAIL


def _log_error(text: str) -> None:
    _log(radiusd.L_ERR, f"prepaid-cards: {text}")


def _log(level: int, text: str) -> None:
    """A line may name what a customer has sent."""
    radiusd.radlog(level, one_line(text))
