"""The attributes that the office itself sends and receives: in Disconnect- and CoA-Requests, and for `prepaid doctor`."""

import io
import logging
from functools import cache

from pyrad.dictionary import Dictionary

# The names are those of vendors.py.  The office's machine need not have FreeRADIUS, so its dictionaries are not used.  The
# numbers are from RFC 2865, 2866, 2869, 3162, 5176 and the vendors' dictionaries.
DICTIONARY = """
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 octets
ATTRIBUTE NAS-IP-Address 4 ipaddr
ATTRIBUTE NAS-Port 5 integer
ATTRIBUTE Framed-IP-Address 8 ipaddr
ATTRIBUTE Reply-Message 18 string
ATTRIBUTE Class 25 octets
ATTRIBUTE Session-Timeout 27 integer
ATTRIBUTE Calling-Station-Id 31 string
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Acct-Status-Type 40 integer
ATTRIBUTE Acct-Session-Id 44 string
ATTRIBUTE Acct-Session-Time 46 integer
ATTRIBUTE Event-Timestamp 55 date
ATTRIBUTE Message-Authenticator 80 octets
ATTRIBUTE NAS-IPv6-Address 95 ipv6addr
ATTRIBUTE Error-Cause 101 integer
VENDOR Cisco 9
BEGIN-VENDOR Cisco
ATTRIBUTE Cisco-AVPair 1 string
END-VENDOR Cisco
VENDOR Huawei 2011
BEGIN-VENDOR Huawei
ATTRIBUTE Huawei-Input-Average-Rate 2 integer
ATTRIBUTE Huawei-Output-Average-Rate 5 integer
END-VENDOR Huawei
VENDOR ERX 4874
BEGIN-VENDOR ERX
ATTRIBUTE ERX-Ingress-Policy-Name 10 string
ATTRIBUTE ERX-Egress-Policy-Name 11 string
END-VENDOR ERX
VENDOR WISPr 14122
BEGIN-VENDOR WISPr
ATTRIBUTE WISPr-Bandwidth-Max-Up 7 integer
ATTRIBUTE WISPr-Bandwidth-Max-Down 8 integer
END-VENDOR WISPr
VENDOR ChilliSpot 14559
BEGIN-VENDOR ChilliSpot
ATTRIBUTE ChilliSpot-Bandwidth-Max-Up 4 integer
ATTRIBUTE ChilliSpot-Bandwidth-Max-Down 5 integer
END-VENDOR ChilliSpot
VENDOR Mikrotik 14988
BEGIN-VENDOR Mikrotik
ATTRIBUTE Mikrotik-Rate-Limit 8 string
END-VENDOR Mikrotik
"""


@cache
def dictionary() -> Dictionary:
    """DICTIONARY in pyrad's form."""
    # pyrad logs a warning about each attribute that is not in the dictionary.
    logging.getLogger("pyrad").setLevel(logging.ERROR)
    return Dictionary(io.StringIO(DICTIONARY))
