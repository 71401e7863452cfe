"""A card as a login reads it: one row, whatever became of its sessions."""

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


@pytest.mark.parametrize("octets", [4, 40])
def test_a_list_of_sessions_that_was_cut_is_refused(card, cursor, octets):
    """A session that is overlooked would be free."""
    cursor.execute("SET SESSION group_concat_max_len = %s", [octets])
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter|were read"):
        store.logins.read_cards(cursor, [card.serial])
