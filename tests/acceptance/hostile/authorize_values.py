"""An authorize that answers with what no module should; post_auth would let everybody in."""

import radiusd
from decent import *  # noqa: F403
from decent import MARK, PIN, user

ANSWERS = {
    "good": (radiusd.RLM_MODULE_UPDATED, (), (("Cleartext-Password", ":=", PIN), MARK)),
    "without-mark": (radiusd.RLM_MODULE_UPDATED, (), (("Cleartext-Password", ":=", PIN),)),
    "nothing": None,
    "only-ok": radiusd.RLM_MODULE_OK,
    "handled": radiusd.RLM_MODULE_HANDLED,
    "true": True,
    "int-pin": (radiusd.RLM_MODULE_UPDATED, (), (("Cleartext-Password", ":=", int(PIN)), MARK)),
    "control-key": (radiusd.RLM_MODULE_UPDATED, {"control": (("Cleartext-Password", ":=", PIN),)}),
    "fail": radiusd.RLM_MODULE_FAIL,
    # Never return it: FreeRADIUS uses it as the index of an array.
    "minus-one": -1,
}


def authorize(packet):
    name = user(packet)
    if name == "exception":
        raise ValueError("a fault in the module")
    return ANSWERS[name]
