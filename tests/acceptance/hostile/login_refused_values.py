"""A login_refused that fails, or would rather accept; which one, says the User-Name."""

import radiusd
from decent import *  # noqa: F403
from decent import LIMITS, counted, user

ANSWERS = {
    "nothing": None,
    "true": True,
    "reject": radiusd.RLM_MODULE_REJECT,
    "accept": (radiusd.RLM_MODULE_UPDATED, LIMITS, (*counted(len(LIMITS)), ("Auth-Type", ":=", "Accept"))),
}


def login_refused(packet):
    name = user(packet)
    if name == "exception":
        raise ValueError("a fault in the module")
    return ANSWERS[name]
