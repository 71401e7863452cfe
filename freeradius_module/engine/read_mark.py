"""The mark that authorize has read this login's card: FreeRADIUS carries it to post-auth, which decides no login without.

FreeRADIUS runs post-auth after an authorize that failed, too, where every login looks like one whose PIN was found right.
The mark is made only where authorize has returned the PIN that has to be proved, and it is worthless in another request.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from ..attributes import READ_MARK, RECEIVED_AT, SOURCE_ADDRESS

# The mark holds for this card, this NAS, this device, and the time when the packet came.
BOUND = ("User-Name", SOURCE_ADDRESS, "Calling-Station-Id", RECEIVED_AT)
# FreeRADIUS runs all sections of a request in one process, so no other process needs the key.
_keyed = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=16)


def make(request: Mapping[str, str]) -> str:
    """
    >>> request = {"User-Name": "4000123", "Tmp-String-0": "192.0.2.7", "Tmp-String-1": "1764000000.250000"}
    >>> is_on(request | {"Tmp-String-3": make(request)})
    True
    >>> is_on(request | {"Tmp-String-3": make(request), "User-Name": "4000124"})
    False
    >>> is_on(request)
    False
    """
    hashed = _keyed.copy()
    hashed.update("\0".join(request.get(name, "") for name in BOUND).encode("utf-8", "surrogateescape"))
    return hashed.hexdigest()


def is_on(request: Mapping[str, str]) -> bool:
    """Whether authorize has made this request's mark."""
    # Compared as octets, because compare_digest() raises an exception for text that is not ASCII.
    return hmac.compare_digest(request.get(READ_MARK, "").encode("utf-8", "surrogateescape"), make(request).encode())
