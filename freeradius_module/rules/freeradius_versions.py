"""Releases of FreeRADIUS that cannot serve prepaid cards.

rlm_python3 of these reads the values that a Python function returns in debug mode only (FreeRADIUS issue 5911).  A live
server would accept logins without any limit.

>>> is_refused("3.2.9"), is_refused("3.2.8")
(True, False)
"""

REFUSED = ("3.2.9", "3.2.10")


def is_refused(version: str) -> bool:
    """Whether this release, as in "3.2.7", must not serve prepaid cards."""
    return version in REFUSED
