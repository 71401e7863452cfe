"""A NAS that reports nonsense is answered, and nobody else's packet fails for it."""

import pytest

from tests.engine_callers import LAPTOP, class_of, log_in, report

WORD_MAX = 2**32 - 1
OCTETS = [2**53, 2**64 - 1]

TARIFFS = [
    {"tariff_mb_millicents": 100_000},
    {"tariff_minute_millicents": 100_000, "tariff_mb_millicents": 100_000},
    {"tariff_minute_millicents": WORD_MAX, "tariff_mb_millicents": WORD_MAX},
]


@pytest.mark.parametrize("kind", ["Interim-Update", "Stop"])
@pytest.mark.parametrize("tariff", TARIFFS)
@pytest.mark.parametrize("octets", OCTETS)
def test_absurd_octets_on_a_tariff_are_answered_and_charged_or_set_aside(engine, shop, clock, octets, tariff, kind):
    """Each time that they come, and so is what comes in the same group."""
    card, other = shop.sell(2, credit_cents=10_000_000, **tariff)
    absurd, sane = class_of(log_in(engine, card)), class_of(log_in(engine, other))
    engine.account(report(card, "Start", None, absurd, session_id="absurd"))
    for seconds in (10, 20, 30):
        clock.advance(10)
        packets = [
            report(card, kind, seconds, absurd, session_id="absurd", down=octets, up=octets),
            report(other, "Interim-Update", seconds, sane, session_id="sane", down=seconds * 1000),
        ]
        results = engine.charges.queued([(packet, 0.0) for packet in packets])
        assert not any(isinstance(result, OSError) or "1690" in str(result) for result in results)
        assert results[1] is None
        # Directly, as radiusd has it done: whatever is returned is an answer, and an exception is none.
        for packet in packets:
            engine.account(packet)
        assert shop.used(other) == (seconds, seconds * 1000, 0)
    assert log_in(engine, card, LAPTOP) is not None


@pytest.mark.parametrize("tariff", TARIFFS)
def test_an_absurd_session_time_on_a_tariff_is_answered(engine, shop, clock, tariff):
    (card,) = shop.sell(1, credit_cents=10_000_000, **tariff)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Start", None, classes))
    clock.advance(10)
    engine.account(report(card, "Interim-Update", WORD_MAX, classes, down=2**53, up=2**53))
    engine.account(report(card, "Stop", WORD_MAX, classes, down=2**53, up=2**53))
    # Two weeks are nothing beside it, and the card's sums still fit.
    assert shop.balance(card)["used_cents"] is not None


def test_many_absurd_sessions_of_one_card_do_not_stop_its_login(engine, shop, clock):
    (card,) = shop.sell(1, credit_octets=10**12)
    for number in range(20):
        engine.account(report(card, "Stop", 10, session_id=f"absurd {number}", down=2**53, up=2**53))
    assert log_in(engine, card).reason == "exhausted"
