"""Writes into the log what it is given: what our own module may rely on."""

import radiusd
from decent import *  # noqa: F403
from decent import LIMITS, counted


def instantiate(packet):
    radiusd.radlog(radiusd.L_INFO, f"seen by instantiate: {sorted(radiusd.config)} {radiusd.config['server_version']}")
    return 0


def post_auth(packet):
    say("post_auth", packet)
    return radiusd.RLM_MODULE_UPDATED, LIMITS, counted(len(LIMITS))


def accounting(packet):
    say("accounting", packet)
    return radiusd.RLM_MODULE_UPDATED


def say(function, packet):
    radiusd.radlog(radiusd.L_INFO, f"seen by {function}: {packet!r}")
