"""An accounting that fails in every way; which one, says the User-Name."""

import radiusd
from decent import *  # noqa: F403
from decent import user

ANSWERS = {
    "good": radiusd.RLM_MODULE_UPDATED,
    "nothing": None,
    "ok": radiusd.RLM_MODULE_OK,
    "fail": radiusd.RLM_MODULE_FAIL,
    "reject": radiusd.RLM_MODULE_REJECT,
    "noop": radiusd.RLM_MODULE_NOOP,
    "notfound": radiusd.RLM_MODULE_NOTFOUND,
    "never": (radiusd.RLM_MODULE_NOTFOUND, (), (("Tmp-String-7", ":=", "no card & no \\xe9"),)),
    "handled": radiusd.RLM_MODULE_HANDLED,
    "invalid": radiusd.RLM_MODULE_INVALID,
    "true": True,
    "a-list": [radiusd.RLM_MODULE_OK],
}


def accounting(packet):
    name = user(packet)
    if name == "exception":
        raise ValueError("a fault in the module")
    return ANSWERS[name]
