"""The checker of tests/faults finds each fault that it looks for.  In its real runs it has never found one."""

import json

import pytest

from tests.faults import checker


@pytest.fixture
def verdict(shop, database, tmp_path):
    """Compares one session of one card: what its NAS knows, and what the test writes into the database."""

    def verdict(sent, acknowledged, held, *, rows=1, posted=(0, 0, 0), **product):
        (card,) = shop.sell(1, **product)
        for number in range(1, rows + 1):
            database.execute(
                "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, used_seconds, used_down_octets,"
                " used_up_octets) VALUES (%s, %s, 1, 'a', %s, %s, %s)",
                [shop.id(card), number, *held],
            )
        database.execute(
            "UPDATE card SET posted_seconds = %s, posted_down_octets = %s, posted_up_octets = %s WHERE serial = %s",
            [*posted, card.serial],
        )
        path = tmp_path / "record.jsonl"
        path.write_text(
            json.dumps(
                {"serial": card.serial, "session_id": "a", "sent": sent, "acknowledged": acknowledged, "packets": 3}
            )
            + "\n"
        )
        with database.mariadb.connect(database.name) as connection:
            found = checker.check(path, connection)
        return found.lost, found.doubled, found.overrun

    return verdict


def test_what_agrees(verdict):
    assert verdict([60, 500, 5], [60, 500, 5], (60, 500, 5)) == (0, 0, 0)
    # Sent and not answered: it may have been charged or not.
    assert verdict([60, 500, 5], [30, 400, 5], (30, 400, 5)) == (0, 0, 0)
    assert verdict([60, 500, 5], [30, 400, 5], (60, 500, 5)) == (0, 0, 0)


def test_one_octet_is_missing(verdict):
    # Missing on the session, and so on the card.
    assert verdict([60, 500, 5], [60, 500, 5], (60, 499, 5)) == (2, 0, 0)


def test_one_second_is_too_much(verdict):
    assert verdict([60, 500, 5], [60, 500, 5], (61, 500, 5)) == (0, 2, 0)


def test_a_session_exists_twice(verdict):
    assert verdict([60, 500, 5], [60, 500, 5], (60, 500, 5), rows=2) == (0, 2, 0)


def test_the_card_was_charged_again_when_it_was_posted(verdict):
    assert verdict([60, 500, 5], [60, 500, 5], (60, 500, 5), posted=(60, 0, 0)) == (0, 1, 0)


def test_a_card_has_used_more_than_it_had(verdict):
    assert verdict([60, 0, 0], [60, 0, 0], (60, 0, 0), credit_seconds=30) == (0, 0, 1)
    # A whole second for each session is rounding.
    assert verdict([31, 0, 0], [31, 0, 0], (31, 0, 0), credit_seconds=30) == (0, 0, 0)
