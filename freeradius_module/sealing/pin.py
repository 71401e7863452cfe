"""The PIN of a card: how it is drawn, how many characters it needs, and how it is stored.

A PIN is drawn from the system's random source only.  It is sealed (AES-GCM) and not hashed, because CHAP, MS-CHAPv2 and
EAP need the PIN itself; the keys are in the key file, outside the database.  A PIN that is sealed for one card does not
open for another card.

No message and no representation in this module contains a PIN.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..rules.login import card_tries
from ..sentence import Sentence
from ..settings import Settings
from .keyring import Keyring

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

DIGITS = "0123456789"
# 32 characters, without 0 O 1 I, which look alike.  Eight of them make a trillion PINs.
SAFE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

DEFAULT_LENGTH = 10
MAX_LENGTH = 64
# How many wrong PINs of one card count in a window (a quarter of an hour), from all new devices together.
TRIES_PER_WINDOW = card_tries(Settings().wrong_pin_tries)
# How many guesses for all cards are answered in a window: 10,000 a second, more than FreeRADIUS and MariaDB answered in any
# measurement.
GUESSES_PER_WINDOW = 9_000_000
SINGLE_CODE_LENGTH = 16
# With fewer PINs, an attacker with a short list of serials succeeds within an afternoon.
SMALLEST_SPACE = 10**6
# One card stolen in a thousand windows (ten and a half days), by an attacker who uses every try of every card, and all the
# guesses that can be answered.  Ten digits or eight safe characters are enough for any number of cards, nine digits for
# 10,000 live cards.
MOST_THEFTS_PER_WINDOW = 0.001


def check_shape(
    length: int,
    alphabet: str = DIGITS,
    live_cards: int = 0,
    tries_per_window: int = TRIES_PER_WINDOW,
    single_code: bool = False,
) -> None:
    """Refuse PINs that could be guessed: ValueError with a Sentence that names the odds and the remedy.

    `live_cards` are all cards that could be tried: those delivered and in use, and those about to be made.  A card with a
    single code has a rule of its own, because without a serial its tries cannot be counted.

    >>> check_shape(10, DIGITS, live_cards=1_000_000)
    >>> check_shape(8, SAFE_ALPHABET, live_cards=1_000_000)
    >>> check_shape(6, DIGITS, live_cards=1_000_000)  # doctest: +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
        ...
    ValueError: A PIN of 6 out of 10 characters can be guessed: with 1,000,000 live cards and
        100 tries a card, 9 cards are stolen in each lock window, and at most 0.001 are accepted.
        Use at least 10 characters of this alphabet.
    >>> check_shape(4, DIGITS, live_cards=10)  # doctest: +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
        ...
    ValueError: A PIN of 4 out of 10 characters can be guessed: one try in 10,000 is right.
        Use at least 6 characters of this alphabet.
    >>> check_shape(10, DIGITS, single_code=True)  # doctest: +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
        ...
    ValueError: A card with one code only needs at least 16 characters, because every try may hit
        any card; 10 were asked for.
    """
    _check_drawable(length, alphabet)
    if single_code and length < SINGLE_CODE_LENGTH:
        raise ValueError(
            Sentence(
                "A card with one code only needs at least {least} characters, because every try may hit any "
                "card; {length} were asked for.",
                least=SINGLE_CODE_LENGTH,
                length=length,
            )
        )
    if _is_safe(length, len(alphabet), live_cards, tries_per_window):
        return
    space = len(alphabet) ** length
    if space < SMALLEST_SPACE:
        odds = Sentence("one try in {space:,} is right", space=space)
    else:
        thefts = expected_thefts(live_cards, tries_per_window, length, len(alphabet))
        odds = Sentence(
            "with {live_cards:,} live cards and {tries} tries a card, {thefts} cards are stolen in each lock "
            "window, and at most {most} are accepted",
            live_cards=live_cards,
            tries=tries_per_window,
            thefts=_short(thefts),
            most=MOST_THEFTS_PER_WINDOW,
        )
    enough = next(
        (n for n in range(length, MAX_LENGTH + 1) if _is_safe(n, len(alphabet), live_cards, tries_per_window)), None
    )
    if enough:
        remedy = Sentence("Use at least {enough} characters of this alphabet.", enough=enough)
    else:
        remedy = Sentence("Use an alphabet of more characters.")
    raise ValueError(
        Sentence(
            "A PIN of {length} out of {size} characters can be guessed: {odds}. {remedy}",
            length=length,
            size=len(alphabet),
            odds=odds,
            remedy=remedy,
        )
    )


def expected_thefts(live_cards: int, tries_per_window: int, length: int, alphabet_size: int) -> float:
    """How many cards are stolen in one window by an attacker who uses all tries of all live cards.

    It is the number of guesses in a window divided by the number of possible PINs.  Few cards limit the guesses by their
    tries, many cards by the number of guesses that can be answered in a window.

    >>> expected_thefts(1000, 100, length=8, alphabet_size=10)
    0.001
    >>> expected_thefts(1_000_000, 100, length=8, alphabet_size=10)
    0.09
    """
    space: int = alphabet_size**length
    return min(tries_per_window * live_cards, GUESSES_PER_WINDOW) / space


def new_pin(length: int = DEFAULT_LENGTH, alphabet: str = DIGITS) -> str:
    """One PIN; all PINs are equally likely.

    1111111111 and 1234567890 are not excluded: they are as likely as any other, so to guess them first does not help.
    """
    _check_drawable(length, alphabet)
    return "".join(secrets.choice(alphabet) for _ in range(length))


def new_pins(count: int, length: int = DEFAULT_LENGTH, alphabet: str = DIGITS) -> Iterator[str]:
    """Many PINs, from the same source as `new_pin` but drawn in blocks.  Two of them may be equal.

    >>> pins = list(new_pins(1000, length=8, alphabet=SAFE_ALPHABET))
    >>> len(pins), {len(pin) for pin in pins}, set("".join(pins)) <= set(SAFE_ALPHABET)
    (1000, {8}, True)
    """
    _check_drawable(length, alphabet)
    return _new_pins(count, length, alphabet)


def seal(pin: str, serial: str, keyring: Keyring) -> tuple[int, bytes]:
    """Seal a PIN for one card: the number of the key that was used, and the sealed PIN."""
    return _seal(pin, _PIN, serial, keyring)


def open_sealed(sealed: bytes, key_number: int, serial: str, keyring: Keyring) -> str:
    """The PIN that `seal` sealed for this card; SealError if it does not open, KeyFileError if the key is missing."""
    return _open(sealed, key_number, _PIN, serial, keyring)


def open_all(cards: Iterable[tuple[str, bytes, int]], keyring: Keyring) -> list[str]:
    """The PINs of many cards, given as (serial, sealed PIN, key number): the same as `open_sealed` for each, but faster."""
    pins = []
    ciphers: dict[int, AESGCM] = {}
    for serial, sealed, key_number in cards:
        try:
            cipher = ciphers[key_number]
        except KeyError:
            cipher = ciphers[key_number] = keyring.derived(key_number, "seal", _cipher)
        try:
            pins.append(
                cipher.decrypt(sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:], f"PIN:{serial}".encode()).decode()
            )
        except Exception:
            # It fails again, with the sentence that names the card.
            pins.append(open_sealed(sealed, key_number, serial, keyring))
    return pins


def seal_nas_secret(secret: str, nas_name: str, keyring: Keyring) -> tuple[int, bytes]:
    """Seal the shared secret of one NAS: the number of the key that was used, and the sealed secret."""
    return _seal(secret, _NAS_SECRET, nas_name, keyring)


def open_nas_secret(sealed: bytes, key_number: int, nas_name: str, keyring: Keyring) -> str:
    """The shared secret that `seal_nas_secret` sealed for this NAS; the same errors as `open_sealed`."""
    return _open(sealed, key_number, _NAS_SECRET, nas_name, keyring)


def prepare(keyring: Keyring) -> None:
    """Load the cryptography library and try every key, so that a problem is reported when the program starts.

    Otherwise the library is loaded when it is first needed, where its failure would look like a failed login.
    """
    for number in keyring.numbers:
        nonce = os.urandom(_NONCE_OCTETS)
        cipher = keyring.derived(number, "seal", _cipher)
        if cipher.decrypt(nonce, cipher.encrypt(nonce, b"trial", b"trial"), b"trial") != b"trial":
            raise CryptographyError(
                Sentence("The cryptography library does not open what it sealed. Install it again.")
            )


class SealError(Exception):
    """A sealed text does not open: it was changed, or sealed for another card.  Its only argument is a Sentence."""


class CryptographyError(Exception):
    """The cryptography library cannot be used.  Its only argument is a Sentence."""


def _seal(text: str, what: str, owner: str, keyring: Keyring) -> tuple[int, bytes]:
    number = keyring.sealing_number
    cipher = keyring.derived(number, "seal", _cipher)
    try:
        octets = text.encode()
    except UnicodeEncodeError:  # its message would contain the whole text
        raise ValueError(
            Sentence("The {what} to be sealed for {owner} is not valid text.", what=what, owner=owner)
        ) from None
    # Random nonces are safe for about four billion seals with one key; then a new key is needed.
    nonce = os.urandom(_NONCE_OCTETS)
    return number, nonce + cipher.encrypt(nonce, octets, f"{what}:{owner}".encode())


def _open(sealed: bytes, key_number: int, what: str, owner: str, keyring: Keyring) -> str:
    cipher = keyring.derived(key_number, "seal", _cipher)
    from cryptography.exceptions import InvalidTag

    sealed = bytes(sealed)
    nonce, ciphertext = sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:]
    try:
        return cipher.decrypt(nonce, ciphertext, f"{what}:{owner}".encode()).decode()
    except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
        raise SealError(
            Sentence(
                "The {what} sealed for {owner} does not open with key {key_number}: it was changed, it belongs "
                "to another one, or the key is not the one that sealed it. Compare the key file with your safe "
                "copy.",
                what=what,
                owner=owner,
                key_number=key_number,
            )
        ) from None


def _cipher(key: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library's Rust part raises an error that is not an Exception
        raise CryptographyError(
            Sentence(
                "The Python library cryptography cannot be loaded ({cause}). Install it for the Python that runs "
                "this program.",
                cause=error,
            )
        ) from error
    return AESGCM(key)


def _new_pins(count: int, length: int, alphabet: str) -> Iterator[str]:
    # A random octet selects a character by its remainder.  Octets beyond the last full turn of the alphabet are dropped;
    # they would make the first characters more likely than the others.
    turns = 256 // len(alphabet)
    fair = turns * len(alphabet)
    characters = (alphabet * turns).encode("ascii").ljust(256, b"?")
    unfair = bytes(range(fair, 256))
    pool = ""
    while count > 0:
        wanted = min(count * length, _BLOCK_OCTETS)
        pool += os.urandom(wanted * 256 // fair + 16).translate(characters, unfair).decode("ascii")
        whole = min(len(pool) // length, count)
        for at in range(0, whole * length, length):
            yield pool[at : at + length]
        pool = pool[whole * length :]
        count -= whole


def _check_drawable(length: int, alphabet: str) -> None:
    if not 1 <= length <= MAX_LENGTH:
        raise ValueError(Sentence("A PIN has 1 to {most} characters, not {length}.", most=MAX_LENGTH, length=length))
    if not (alphabet.isascii() and alphabet.isprintable()) or " " in alphabet:
        raise ValueError(Sentence("A PIN's alphabet is made of ASCII letters, digits and punctuation, without spaces."))
    if len(alphabet) < 2 or len(set(alphabet)) < len(alphabet):
        raise ValueError(
            Sentence(
                "A PIN's alphabet has at least two characters, each of them once; this one is {alphabet!r}.",
                alphabet=alphabet,
            )
        )


def _is_safe(length: int, alphabet_size: int, live_cards: int, tries_per_window: int) -> bool:
    return (
        alphabet_size**length >= SMALLEST_SPACE
        and expected_thefts(live_cards, tries_per_window, length, alphabet_size) <= MOST_THEFTS_PER_WINDOW
    )


def _short(number: float) -> str:
    """A number with few digits, for a sentence.

    >>> _short(5.0), _short(0.05), _short(12_000.0)
    ('5', '0.05', '12,000')
    """
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


_NONCE_OCTETS = 12
# What is sealed.  The name is part of the seal and appears in sentences.
_PIN = Sentence("PIN")
_NAS_SECRET = Sentence("NAS secret")
_BLOCK_OCTETS = 1 << 16
