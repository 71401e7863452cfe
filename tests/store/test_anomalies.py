"""A report that does not add up is recorded as an anomaly, and charged like any other."""

from tests.engine_callers import class_of, log_in, report


def test_octets_that_fall_are_recorded_once_a_session_and_the_packet_is_charged(shop, engine):
    (card,) = shop.sell(1)
    classes = class_of(log_in(engine, card))
    for seconds, down in ((60, 4_000_000_000), (120, 1000), (180, 2000)):
        assert engine.account(report(card, "Interim-Update", seconds, classes, down=down)) is None
    assert shop.used(card) == (180, 4_000_000_000, 0)
    assert shop.anomalies(card) == ["octets_fell"]
