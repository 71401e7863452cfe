"""A post_auth that answers with what no module should: which thing, says the User-Name."""

import collections
import enum

import radiusd
from decent import *  # noqa: F403
from decent import LIMITS, counted, user

Pair = collections.namedtuple("Pair", "name operator value")


class Text(str):
    """A str that is not exactly a str."""


class Code(enum.IntEnum):
    UPDATED = radiusd.RLM_MODULE_UPDATED


def limited(*pairs):
    return radiusd.RLM_MODULE_UPDATED, pairs, counted(len(pairs))


def timeout(value):
    return limited(("Session-Timeout", ":=", value))


ANSWERS = {
    "good": limited(*LIMITS),
    # It says nothing of limits.
    "nothing": None,
    "only-ok": radiusd.RLM_MODULE_OK,
    "handled": radiusd.RLM_MODULE_HANDLED,
    "noop": radiusd.RLM_MODULE_NOOP,
    "notfound": radiusd.RLM_MODULE_NOTFOUND,
    "invalid": radiusd.RLM_MODULE_INVALID,
    "userlock": radiusd.RLM_MODULE_USERLOCK,
    "reject-with-limits": (radiusd.RLM_MODULE_REJECT, LIMITS, counted(len(LIMITS))),
    "a-list": [radiusd.RLM_MODULE_UPDATED, LIMITS, ()],
    "true": True,
    "an-enum": Code.UPDATED,
    # The limit is lost on the way.
    "int-value": timeout(600),
    "str-subclass": timeout(Text("600")),
    "list-pair": limited(["Session-Timeout", ":=", "600"]),
    "named-tuple": limited(Pair("Session-Timeout", ":=", "600")),
    "unknown-name": limited(("Session-Time-Out", ":=", "600")),
    "list-of-pairs": (radiusd.RLM_MODULE_UPDATED, list(LIMITS), counted(len(LIMITS))),
    "control-key": (radiusd.RLM_MODULE_UPDATED, {"reply": LIMITS, "control": counted(len(LIMITS))}),
    # The limit is there, and another attribute is not.
    "other-unknown": limited(("Session-Timeout", ":=", "600"), ("Octets-That-Nobody-Knows", ":=", "1000000")),
    "other-int": limited(("Session-Timeout", ":=", "600"), ("ChilliSpot-Max-Total-Octets", ":=", 1000000)),
    "second-of-a-name": limited(("Session-Timeout", ":=", "600"), ("Class", "0x01"), ("Class", "0x02")),
    "twice": limited(("Session-Timeout", "+=", "600"), ("Session-Timeout", "+=", "86400")),
    # The limit became another number.
    "fraction": timeout("12.5"),
    "zero": timeout("0"),
    "negative": timeout("-1"),
    "beyond-32-bits": timeout("99999999999"),
}


def post_auth(packet):
    name = user(packet)
    if name == "exception":
        raise ValueError("a fault in the module")
    if name == "fail":
        return radiusd.RLM_MODULE_FAIL
    return ANSWERS[name]
