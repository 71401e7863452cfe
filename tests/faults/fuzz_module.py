"""A million hostile inputs to the module's functions (short: 10,000): each returns what it promises, or raises its error.

    attributes.report       a Report whose numbers fit their columns, or AttributeFault
    identity.read_class     None, unless the hash is true; not for this user, unless that one is
    queue_record.split      records and unreadable parts, and never an exception
    attributes.checked_reply  what FreeRADIUS accepts, or ValueError
    the hooks               one of FreeRADIUS' own codes, never an exception, never an Accept (on the real database)

The generator is small and has a seed, because a million examples of hypothesis would take an hour.
"""

import random
import sys
import time
import types

from freeradius_module import attributes, queue_record
from freeradius_module.rules import identity

from .campaign import Campaign, run
from .results import Row

KEY = b"k" * 32
CODES = ("REJECT", "FAIL", "OK", "HANDLED", "INVALID", "USERLOCK", "NOTFOUND", "NOOP", "UPDATED")
NAMES = (
    "User-Name",
    "User-Password",
    "CHAP-Password",
    "CHAP-Challenge",
    "Calling-Station-Id",
    "Called-Station-Id",
    "Class",
    "Acct-Status-Type",
    "Acct-Session-Id",
    "Acct-Session-Time",
    "Acct-Input-Octets",
    "Acct-Output-Octets",
    "Acct-Input-Gigawords",
    "Acct-Output-Gigawords",
    "Acct-Delay-Time",
    "Acct-Terminate-Cause",
    "Framed-IP-Address",
    "Framed-IPv6-Prefix",
    "Delegated-IPv6-Prefix",
    "Event-Timestamp",
    "NAS-IP-Address",
    "Tmp-String-0",
    "Tmp-String-1",
    "",
)
TEXTS = (
    "",
    "0",
    "-1",
    "4294967296",
    "99999999999999999999",
    "1e9",
    "٣",
    "²",
    "0x",
    "0xzz",
    "0x00",
    "nan",
    "\0",
    "a\0b",
    "é" * 200,
    "\udc80",
    "😀",
    "' OR 1=1 --",
    '";\n\tUser-Name = "x',
    "%{User-Password}",
    "{}",
    "%s%n",
    "127.0.0.1",
    "::1",
    "x" * 2000,
    "Start",
    "Interim-Update",
    "Stop",
    "Accounting-On",
    "1770000000.0",
    "1770000000.999999",
    ".",
    "..",
    "1.1.1",
    "0x" + b"prepaid:1:1:1:000000000000000000".hex(),
    "0x" + b"prepaid:".hex(),
    "0x" + "ff" * 300,
)


def campaign(short: bool) -> Row:
    count = 10_000 if short else 1_000_000
    chance = random.Random(1)
    with Campaign("fuzz of functions", customers=0) as servers:
        fails = servers.failures
        (card,) = servers.shop.sell(1, credit_octets=2**50)
        hooks, radiusd = open_shop(servers)
        began = time.monotonic()
        pure = (report, read_class, split, checked_reply)
        for number in range(count):
            test = pure[number % 5] if number % 5 < 4 else None
            try:
                if test:
                    test(chance)
                else:
                    call_hook(chance, hooks, radiusd, card)
            except Exception as fault:
                fails.append(
                    f"input {number} to {test.__name__ if test else 'a hook'}: {type(fault).__name__}: {fault}"
                )
                if len(fails) > 20:
                    break
        lines = "\n".join(radiusd.lines)
        if card.pin in lines:
            fails.append("a PIN is in the log")
        row = servers.verdict(f"{count / (time.monotonic() - began):.0f} inputs a second")
        return row._replace(acknowledged=count)


# --- The promises -----------------------------------------------------------------------------------------


def report(chance: random.Random) -> None:
    pairs = hostile_pairs(chance)
    try:
        found = attributes.report(pairs, 1, KEY, chance.choice((0.0, 1.5)))
    except attributes.AttributeFault:
        return
    assert found.kind in attributes.KINDS
    assert found.claim is None, "a claim that nobody made"
    for number in (found.seconds, found.down_octets, found.up_octets):
        assert number is None or 0 <= number <= attributes.OCTETS_MAX
    assert found.age_seconds >= 0
    for text, most in (
        (found.acct_session_id, 253),
        (found.nas_address, 45),
        (found.device, 64),
        (found.stop_cause, 32),
        (found.framed_ipv4, 15),
        (found.framed_ipv6, 43),
        (found.delegated_prefix, 43),
    ):
        assert text is None or len(text) <= most


def read_class(chance: random.Random) -> None:
    values = [text(chance) for _ in range(chance.randrange(4))]
    if chance.random() < 0.5:
        true = identity.make_class(identity.Claim(1, 1, 1), "4000", KEY)
        at = chance.randrange(2, len(true))
        other = true[:at] + chance.choice("0123456789abcdefg") + true[at + 1 :]
        values.append(other)
        if other == true:
            return
    found = identity.read_class(values, "4000", KEY)
    # The hash of the login is correct if only the hash of the user name was changed.
    assert found is None or (found[:3] == (1, 1, 1) and not found.is_named)


def split(chance: random.Random) -> None:
    whole = queue_record.EXAMPLE
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(whole) + 1)
        whole = chance.choice(
            (
                whole[:at],
                whole[at:],
                whole[:at] + text(chance) + whole[at:],
                whole + "\n" + whole,
                whole[:at]
                + chance.choice(("\n", "&", "=", "%", "%zz", "%00", "&Class=", "&End=&", "."))
                + whole[at + 1 :],
            )
        )
        whole = whole[:5000]
    for part in queue_record.split(whole):
        assert isinstance(part, queue_record.Record | queue_record.Unreadable)
        if isinstance(part, queue_record.Record):
            assert all(type(name) is str and type(value) is str for name, value in part.pairs)


def checked_reply(chance: random.Random) -> None:
    odd = (None, 5, True, 1.5, b"x", ["a"], ("Session-Timeout", ":=", "5"))
    reply = [
        tuple(
            chance.choice((text(chance), text(chance), chance.choice(odd), ":=", "Session-Timeout"))
            for _ in range(chance.choice((3, 3, 3, 2, 4)))
        )
        for _ in range(chance.randrange(4))
    ]
    try:
        checked = attributes.checked_reply(reply)
    except ValueError:
        return
    for name, operator, value in checked:
        assert type(name) is str and type(operator) is str and type(value) is str
        assert operator in (":=", "+=") and "\0" not in value
        assert name != "Session-Timeout" or 0 < int(value) < 2**32


def call_hook(chance: random.Random, hooks, radiusd, card) -> None:
    pairs = hostile_pairs(chance)
    if chance.random() < 0.5:
        pairs = [("User-Name", card.serial), *pairs]
    name = chance.choice(("authorize", "accounting", "login_refused", "client"))
    packet = chance.choice(({"request": tuple(pairs)},) * 20 + (None, {}, {"request": None}, {"request": ()}))
    answer = getattr(hooks, name)(packet)
    code, *lists = answer if isinstance(answer, tuple) else (answer,)
    assert type(code) is int and code in radiusd.codes, f"{name} answers {answer!r}"
    if name == "authorize" and lists:
        # Nobody knows this PIN, so FreeRADIUS has to prove it, and nothing is decided.
        assert lists[0] == () or code == radiusd.RLM_MODULE_REJECT, f"a decision without a proof: {lists[0]}"


# --- Inputs -----------------------------------------------------------------------------------------------


def text(chance: random.Random) -> str:
    kind = chance.randrange(5)
    if kind < 3:
        return chance.choice(TEXTS)
    if kind == 3:
        return str(chance.randrange(-1, 2 ** chance.choice((8, 32, 33, 64))))
    return "".join(chr(chance.randrange(1, 0x500)) for _ in range(chance.randrange(12)))


def hostile_pairs(chance: random.Random) -> list[tuple[str, str]]:
    pairs = [(chance.choice(NAMES), text(chance)) for _ in range(chance.randrange(12))]
    if chance.random() < 0.7:
        pairs += [
            ("User-Name", "4000"),
            ("Acct-Status-Type", chance.choice(attributes.KINDS[:3])),
            ("Acct-Session-Id", "s"),
            ("Tmp-String-0", "127.0.0.1"),
        ]
        chance.shuffle(pairs)
    return pairs


def open_shop(servers: Campaign):
    """The hooks with a stand-in for the module `radiusd`, on the real database."""
    radiusd = types.ModuleType("radiusd")
    for number, name in enumerate(CODES):
        setattr(radiusd, f"RLM_MODULE_{name}", number)
    for number, name in enumerate(("L_AUTH", "L_INFO", "L_ERR", "L_WARN", "L_DBG")):
        setattr(radiusd, name, number)
    radiusd.codes = set(range(len(CODES)))
    radiusd.lines = []
    radiusd.radlog = lambda level, line: radiusd.lines.append(line)
    radiusd.config = {"option_file": str(servers.stack.option_file)}
    sys.modules["radiusd"] = radiusd
    from freeradius_module import hooks

    assert hooks.instantiate(None) == 0
    return hooks, radiusd


if __name__ == "__main__":
    run(campaign)
