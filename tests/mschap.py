"""The device's side of MS-CHAP: the responses to the NAS' challenge.

Version 1 is RFC 2433, version 2 is RFC 2759; the example is that of RFC 2759, section 9.2.

>>> name, password = b"User", "clientPass"
>>> challenge = bytes.fromhex("5B5D7C7D7B3F2F3E3C2C602132262628")
>>> peer_challenge = bytes.fromhex("21402324255E262A28295F2B3A337C7E")
>>> response_2(name, password, challenge, peer_challenge)[26:].hex().upper()
'82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF'
>>> authenticator_response(name, password, challenge, peer_challenge)
b'S=407A5589115FD0D6209F510FE9C04566932CDA56'
"""

from hashlib import sha1

from Crypto.Cipher import DES
from Crypto.Hash import MD4

# RFC 2759, section 8.7.
MAGIC_1 = b"Magic server to client signing constant"
MAGIC_2 = b"Pad to make it do more than one iteration"


def response_1(password: str, challenge: bytes) -> bytes:
    """The value of MS-CHAP-Response: identifier, flag "use the NT response", no LM response, NT response."""
    return b"\x00\x01" + bytes(24) + _challenge_response(challenge, _nt_hash(password))


def response_2(name: bytes, password: str, challenge: bytes, peer_challenge: bytes) -> bytes:
    """The value of MS-CHAP2-Response: identifier, flags, the device's challenge, reserved, NT response."""
    return b"\x00\x00" + peer_challenge + bytes(8) + _nt_response(name, password, challenge, peer_challenge)


def authenticator_response(name: bytes, password: str, challenge: bytes, peer_challenge: bytes) -> bytes:
    """The answer of a server that knows the password."""
    nt_response = _nt_response(name, password, challenge, peer_challenge)
    digest = sha1(_md4(_nt_hash(password)) + nt_response + MAGIC_1).digest()
    digest = sha1(digest + _challenge_hash(name, challenge, peer_challenge) + MAGIC_2).digest()
    return b"S=" + digest.hex().upper().encode()


def _nt_response(name: bytes, password: str, challenge: bytes, peer_challenge: bytes) -> bytes:
    return _challenge_response(_challenge_hash(name, challenge, peer_challenge), _nt_hash(password))


def _challenge_hash(name: bytes, challenge: bytes, peer_challenge: bytes) -> bytes:
    return sha1(peer_challenge + challenge + name).digest()[:8]


def _nt_hash(password: str) -> bytes:
    return _md4(password.encode("utf-16-le"))


def _challenge_response(challenge: bytes, nt_hash: bytes) -> bytes:
    """The challenge encrypted with three DES keys of seven octets each, which are parts of the hash."""
    keys = nt_hash + bytes(5)
    return b"".join(
        DES.new(_with_parity_bits(keys[start : start + 7]), DES.MODE_ECB).encrypt(challenge) for start in (0, 7, 14)
    )


def _with_parity_bits(key: bytes) -> bytes:
    """Seven octets spread over eight, whose lowest bits DES ignores.

    >>> _with_parity_bits(bytes.fromhex("FFFFFFFFFFFFFF")).hex()
    'fefefefefefefefe'
    """
    bits = int.from_bytes(key, "big")
    return bytes((bits >> shift & 0x7F) << 1 for shift in range(49, -1, -7))


def _md4(data: bytes) -> bytes:
    return MD4.new(data).digest()
