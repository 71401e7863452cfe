"""An instantiate that finds it cannot work."""

from decent import *  # noqa: F403


def instantiate(packet):
    return -1
