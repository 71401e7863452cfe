"""The wire format between FreeRADIUS and the shared engine: words of text, separated by NUL, in one message.

FreeRADIUS gives Python no text that holds a NUL, and accepts none.  JSON would need three times as long, and this is done
four times for each packet.

request  what is wanted (authorize, admit, wrong_pin, account, client, is_card), until when (seconds of the machine's monotonic
         clock, which all its processes share), then the packet's attributes: name, value, name, value ...
answer   "done" and the result's words, or "away", "schema", "never" or "fault" and a sentence
"""

from collections.abc import Iterable, Sequence
from itertools import chain

from .catalogue import Client
from .logins import Answer, AuthorizeResult

DONE = "done"


class NotEncodable(ValueError):
    """A word holds a NUL, which separates words."""


def message(*words: str) -> bytes:
    """
    >>> message("authorize", "User-Name", "4000123")
    b'authorize\\x00User-Name\\x004000123'
    >>> message("a\\0b")
    Traceback (most recent call last):
    freeradius_module.engine.wire.NotEncodable: a word holds a NUL
    """
    text = "\0".join(words)
    if text.count("\0") != len(words) - 1:
        raise NotEncodable("a word holds a NUL")
    return text.encode("utf-8", "surrogateescape")


def words(received: bytes) -> list[str]:
    return received.decode("utf-8", "surrogateescape").split("\0")


def request(what: str, until: float, attributes: Iterable[tuple[str, str]]) -> bytes:
    return message(what, str(until), *chain.from_iterable(attributes))


def read_request(received: bytes) -> tuple[str, float, Iterable[tuple[str, str]]]:
    """What is wanted, until when, and the attributes, which can be iterated over once.

    >>> what, until, attributes = read_request(request("account", 12.5, [("Class", "0x01"), ("Class", "0x02")]))
    >>> what, until, list(attributes)
    ('account', 12.5, [('Class', '0x01'), ('Class', '0x02')])
    """
    what, until, *rest = words(received)
    return what, float(until), zip(rest[::2], rest[1::2], strict=True)


def result(of: AuthorizeResult | Answer | Client | str | None) -> Sequence[str]:
    """A result as words; the functions below read them."""
    if of is None:
        return ()
    if isinstance(of, str):
        return (of,)
    if isinstance(of, Client):
        return (of.name, of.secret, "yes" if of.require_message_authenticator else "no")
    if isinstance(of, AuthorizeResult):
        return (of.pin,) if of.answer is None else (of.pin, *result(of.answer))
    return ("accepted" if of.is_accepted else "refused", of.reason, of.log, *chain.from_iterable(of.reply))


def read_answer(received: Sequence[str]) -> Answer:
    """
    >>> answer = Answer(True, (("Session-Timeout", ":=", "600"),), "time", "")
    >>> read_answer(result(answer)) == answer
    True
    """
    word, reason, log, *reply = received
    return Answer(word == "accepted", tuple(zip(reply[::3], reply[1::3], reply[2::3], strict=True)), reason, log)


def read_authorize_result(received: Sequence[str]) -> AuthorizeResult:
    """
    >>> read_authorize_result(["0123456789"]).answer is None
    True
    """
    pin, *answer = received
    return AuthorizeResult(pin, read_answer(answer) if answer else None)


def read_client(received: Sequence[str]) -> Client | None:
    """
    >>> read_client(result(Client("hotspot", "testing123", True))).require_message_authenticator
    True
    """
    if not received:
        return None
    name, secret, require_message_authenticator = received
    return Client(name, secret, require_message_authenticator == "yes")


def read_text(received: Sequence[str]) -> str | None:
    return received[0] if received else None
