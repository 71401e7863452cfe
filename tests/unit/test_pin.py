"""PINs: drawn fairly, long enough, sealed for one card, and never told in an error."""

import collections
import itertools
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeradius_module.sealing import pin
from freeradius_module.sealing.keyring import Key, KeyFileError, Keyring

CANARY = "8675309421"


@pytest.fixture
def keyring():
    return Keyring({1: Key(os.urandom(32), "active"), 2: Key(os.urandom(32), "active")})


# How PINs are drawn.


@pytest.mark.parametrize("alphabet", [pin.DIGITS, pin.SAFE_ALPHABET, "abc", "".join(map(chr, range(33, 127)))])
def test_every_character_is_equally_likely(monkeypatch, alphabet):
    """Fed with every octet equally often, the generator gives every character exactly equally often."""
    octets = itertools.cycle(range(256))
    monkeypatch.setattr(pin.os, "urandom", lambda count: bytes(itertools.islice(octets, count)))
    fair_octets_a_turn = 256 // len(alphabet) * len(alphabet)

    drawn = "".join(pin.new_pins(fair_octets_a_turn * 100, length=1, alphabet=alphabet))

    counts = collections.Counter(drawn)
    assert set(counts) == set(alphabet)
    # Blocks end within a turn, and what is left of a pool is used, so the counts are nearly equal.
    assert max(counts.values()) - min(counts.values()) <= 0.01 * len(drawn) / len(alphabet)


def test_real_pins_show_no_bias_at_any_place():
    pins = list(pin.new_pins(100_000, length=4))

    for place in range(4):
        counts = collections.Counter(p[place] for p in pins)
        chi_square = sum((counts[d] - 10_000) ** 2 / 10_000 for d in pin.DIGITS)
        assert chi_square < 90  # 9 degrees of freedom: by chance less than once in 10^14 runs.


@given(st.integers(0, 3000), st.integers(1, 64), st.sampled_from([pin.DIGITS, pin.SAFE_ALPHABET, "01"]))
def test_as_many_pins_as_asked_for_each_of_its_length(count, length, alphabet):
    pins = list(pin.new_pins(count, length, alphabet))

    assert len(pins) == count
    assert all(len(p) == length and set(p) <= set(alphabet) for p in pins)


def test_pins_across_many_blocks_do_not_repeat():
    pins = list(pin.new_pins(50_000, length=16))

    assert len(set(pins)) == 50_000


def test_one_pin_at_a_time():
    assert len(pin.new_pin()) == 10
    assert len({pin.new_pin(8, pin.SAFE_ALPHABET) for _ in range(1000)}) == 1000


def test_the_safe_alphabet_has_no_look_alikes():
    assert len(set(pin.SAFE_ALPHABET)) == 32
    assert not set("01OIoil") & set(pin.SAFE_ALPHABET)


@pytest.mark.parametrize("alphabet", ["", "7", "0123456789012", "áé", "01 23", "ab\n"])
def test_an_alphabet_that_would_mislead_is_refused(alphabet):
    with pytest.raises(ValueError, match="alphabet"):
        pin.new_pins(1, 10, alphabet)
    with pytest.raises(ValueError, match="alphabet"):
        pin.check_shape(20, alphabet)


# How long they must be.


@pytest.mark.parametrize(("length", "alphabet"), [(10, pin.DIGITS), (8, pin.SAFE_ALPHABET), (16, pin.DIGITS)])
def test_the_shapes_we_recommend_pass_with_a_million_cards(length, alphabet):
    pin.check_shape(length, alphabet, live_cards=1_000_000)


@pytest.mark.parametrize("live_cards", [0, 1, 1_000_000])
@pytest.mark.parametrize("length", [1, 4, 5])
def test_four_digits_are_refused_even_for_one_card(length, live_cards):
    with pytest.raises(ValueError, match="Use at least"):
        pin.check_shape(length, pin.DIGITS, live_cards)


def test_six_digits_are_refused_once_there_are_many_cards():
    pin.check_shape(6, pin.DIGITS, live_cards=10)
    with pytest.raises(ValueError, match="0.0011 cards are stolen in each lock window.*Use at least 7 characters"):
        pin.check_shape(6, pin.DIGITS, live_cards=11)
    with pytest.raises(ValueError, match="9 cards are stolen in each lock window.*Use at least 10 characters"):
        pin.check_shape(6, pin.DIGITS, live_cards=1_000_000)


@pytest.mark.parametrize(("length", "most"), [(6, 10), (7, 100), (8, 1000), (9, 10_000)])
def test_a_length_serves_as_many_cards_as_the_limit_of_a_card_allows(length, most):
    """Tries of a card * live cards / PINs <= 0.001."""
    assert 100 * most / 10**length == pytest.approx(0.001)
    pin.check_shape(length, pin.DIGITS, live_cards=most)
    with pytest.raises(ValueError, match=f"Use at least {length + 1} characters"):
        pin.check_shape(length, pin.DIGITS, live_cards=most + 1)


def test_more_wrong_pins_a_card_need_longer_pins():
    pin.check_shape(8, pin.DIGITS, live_cards=1000, tries_per_window=100)
    with pytest.raises(ValueError, match="200 tries a card"):
        pin.check_shape(8, pin.DIGITS, live_cards=1000, tries_per_window=200)


def test_ten_digits_serve_any_number_of_cards():
    pin.check_shape(10, pin.DIGITS, live_cards=10**9)


@given(st.integers(1, 20), st.integers(2, 94), st.integers(0, 10**8), st.integers(1, 100))
def test_the_remedy_that_a_refusal_names_is_accepted(length, alphabet_size, live_cards, tries):
    alphabet = "".join(map(chr, range(33, 33 + alphabet_size)))
    try:
        pin.check_shape(length, alphabet, live_cards, tries)
    except ValueError as refusal:
        enough = int(str(refusal).split("Use at least ")[1].split()[0])
        assert enough > length
        pin.check_shape(enough, alphabet, live_cards, tries)
        with pytest.raises(ValueError):
            pin.check_shape(enough - 1, alphabet, live_cards, tries)


def test_a_card_with_one_code_needs_sixteen_characters():
    pin.check_shape(16, pin.DIGITS, live_cards=1_000_000, single_code=True)
    with pytest.raises(ValueError, match="at least 16 characters"):
        pin.check_shape(15, pin.SAFE_ALPHABET, single_code=True)


# How they are kept.


@given(st.text(st.characters(codec="utf-8"), max_size=64), st.text(st.characters(codec="utf-8"), max_size=32))
def test_what_is_sealed_opens_again(text, name):
    keyring = Keyring({7: Key(bytes(range(32)), "active")})

    number, sealed = pin.seal(text, name, keyring)
    assert pin.open_sealed(sealed, number, name, keyring) == text
    number, sealed = pin.seal_nas_secret(text, name, keyring)
    assert pin.open_nas_secret(sealed, number, name, keyring) == text


def test_a_sealed_pin_fits_its_column_and_shows_nothing(keyring):
    number, sealed = pin.seal("x" * pin.MAX_LENGTH, "A008", keyring)

    assert number == 2
    assert len(sealed) <= 96
    assert b"xx" not in sealed
    assert pin.seal(CANARY, "A008", keyring) != pin.seal(CANARY, "A008", keyring)


def test_a_sealed_pin_opens_for_no_other_card_purpose_or_key(keyring):
    number, sealed = pin.seal(CANARY, "A008", keyring)

    with pytest.raises(pin.SealError, match="PIN sealed for A019"):
        pin.open_sealed(sealed, number, "A019", keyring)
    with pytest.raises(pin.SealError):
        pin.open_nas_secret(sealed, number, "A008", keyring)
    with pytest.raises(pin.SealError):
        pin.open_sealed(sealed, 1, "A008", keyring)
    with pytest.raises(KeyFileError, match="no key 3"):
        pin.open_sealed(sealed, 3, "A008", keyring)


def test_a_sealed_pin_with_one_bit_changed_or_a_piece_missing_does_not_open(keyring):
    number, sealed = pin.seal(CANARY, "A008", keyring)

    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(pin.SealError):
            pin.open_sealed(bytes(changed), number, "A008", keyring)
    for length in range(len(sealed)):
        with pytest.raises(pin.SealError):
            pin.open_sealed(sealed[:length], number, "A008", keyring)


def test_no_error_and_no_representation_tells_a_pin_or_a_key():
    key = os.urandom(32)
    keyring = Keyring({1: Key(key, "active")})
    number, sealed = pin.seal(CANARY, "A008", keyring)
    told = [repr(keyring), str(keyring), repr(Key(key, "active"))]

    for fail in (
        lambda: pin.open_sealed(sealed, number, "A019", keyring),
        lambda: pin.seal(CANARY + "\udcff", "A008", keyring),
    ):
        with pytest.raises((pin.SealError, ValueError)) as refusal:
            fail()
        error = refusal.value
        while error is not None:
            told += [repr(error), str(error)]
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)

    for text in told:
        assert CANARY not in text
        assert key.hex() not in text and repr(key)[2:-1] not in text


def test_a_missing_library_is_said_at_the_start(monkeypatch, keyring):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)

    with pytest.raises(pin.CryptographyError, match="cryptography cannot be loaded"):
        pin.prepare(keyring)


def test_preparing_leaves_a_keyring_that_seals(keyring):
    pin.prepare(keyring)

    number, sealed = pin.seal(CANARY, "A008", keyring)
    assert pin.open_sealed(sealed, number, "A008", keyring) == CANARY


def test_no_random_character_is_used_twice(monkeypatch):
    """PINs are what the source of randomness gave, one after the other, across many blocks."""
    given_octets = []
    monkeypatch.setattr(
        pin.os, "urandom", lambda count, real=os.urandom: given_octets.append(real(count)) or given_octets[-1]
    )
    drawn = "".join(pin.new_pins(30_000, length=7, alphabet="0123456789ABCDEF"))
    assert len(given_octets) > 2
    stream = "".join("0123456789ABCDEF"[octet % 16] for octet in b"".join(given_octets))
    assert drawn == stream[: len(drawn)]


def test_the_longest_pin():
    assert len(pin.new_pin(64)) == 64
    with pytest.raises(ValueError):
        pin.new_pin(65)


def test_what_an_earlier_version_sealed_still_opens():
    """A nonce of twelve octets, then the PIN and its mark of sixteen."""
    keys = Keyring({1: Key(bytes(32), "active")})
    sealed = bytes.fromhex("86f4f70894cbcb7878fd7ef592e74cc70b3d6575c32deb59b09e482a2eb7eff672a29b9f")
    assert pin.open_sealed(sealed, 1, "4000017", keys) == "48151623"
    assert len(pin.seal("48151623", "4000017", keys)[1]) == 12 + 8 + 16
