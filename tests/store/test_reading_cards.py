"""A card as a login reads it: one row, with the sums of all its sessions and a list of the open ones."""

import pytest

from freeradius_module import store
from tests.engine_callers import LAPTOP, class_of, log_in, report


@pytest.fixture
def card(shop, engine):
    """With one session that has ended after 30 seconds, and one that is open."""
    (sold,) = shop.sell(1, credit_seconds=1000, max_sessions=3)
    engine.account(report(sold, "Stop", 30, class_of(log_in(engine, sold))))
    log_in(engine, sold, LAPTOP)
    return sold


def test_a_card_is_read_with_the_use_of_all_its_sessions_and_those_that_are_open(card, cursor):
    read = store.logins.read_cards(cursor, [card.serial])[card.serial]
    assert (read.used.seconds, read.last_login_number, read.unposted) == (30, 2, 1)
    assert [(session.login_number, session.device) for session in read.sessions] == [(2, LAPTOP)]


def test_a_truncated_list_of_sessions_is_refused(card, engine, cursor):
    """A session that is overlooked would be free."""
    log_in(engine, card, "02-00-00-00-00-03")
    faults = []
    for octets in range(4, 1000):
        cursor.execute("SET SESSION group_concat_max_len = %s", [octets])
        try:
            (read,) = store.logins.read_cards(cursor, [card.serial]).values()
        except ValueError as fault:
            faults.append(str(fault))
        else:
            break
    assert len(read.sessions) == 2
    # At one of the lengths the list is valid, and one session short.
    assert any("2 open sessions, and only 1 were read" in fault for fault in faults)
