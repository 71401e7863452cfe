"""What the person at the device reads."""

import pytest

from freeradius_module.rules import messages
from freeradius_module.rules.refusals import REFUSALS
from freeradius_module.rules.usage import Credit
from tests.unit.test_login import attempt, card, decide, product


@pytest.mark.parametrize("lang", ["en", "pt_BR"])
def test_every_refusal_has_a_text_and_a_stranger_sees_one(lang):
    texts = {reason: messages.refused(reason, lang) for reason in REFUSALS}
    # While he is locked out, a guesser must not learn that he has guessed right.
    assert texts["unknown_card"] == texts["wrong_pin"] == texts["locked_out"]
    assert len(set(texts.values())) == len(REFUSALS) - 2
    assert all(len(text.encode()) <= 253 for text in texts.values())


def test_a_reason_without_a_text_tells_nothing():
    assert messages.refused("something new", "en") == messages.refused("wrong_pin", "en")


@pytest.mark.parametrize(
    ("lang", "credit", "expires", "text"),
    [
        ("en", Credit(seconds=7980), None, "Left: 2 h 13 min."),
        ("pt_BR", Credit(seconds=7980), None, "Restam: 2 h 13 min."),
        ("en", Credit(octets=350_000_000), None, "Left: 350 MB."),
        ("pt_BR", Credit(millicents=420_000), None, "Restam: R$ 4,20."),
        ("en", Credit(down_octets=10**7, up_octets=5 * 10**6), None, "Left: ↓ 10 MB, ↑ 5 MB."),
        ("en", Credit(seconds=600, octets=10**7), 7200, "Left: 10 min, 10 MB. Valid for 2 h."),
    ],
)
def test_an_accept_says_what_is_left_and_until_when(lang, credit, expires, text):
    accept = decide(card(expires_in_seconds=expires), product(credit=credit), attempt())
    assert messages.accepted(accept, expires, lang, "R$").replace("\u00a0", " ") == text
