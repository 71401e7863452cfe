"""The database goes away and comes back: nobody is refused or charged twice, and nothing acknowledged is lost."""

import pytest

# A NAS asks the next server when it has waited for so long.
SILENCE_SECONDS = 2


def kill(stack):
    stack.mariadb.kill()


def stop(stack):
    stack.mariadb.stop()


def suspend(stack):
    stack.mariadb.daemon.suspend()


def accepted(reply):
    return reply if reply and reply.is_accept else None


def bring_back(stack):
    if stack.mariadb.is_running():
        stack.mariadb.daemon.resume()
    stack.mariadb.start()


@pytest.mark.parametrize("take_away", [kill, stop, suspend])
def test_while_the_database_is_away_there_is_no_answer_and_afterwards_all_is_well(
    shop, radius, stack, wait_until, take_away
):
    known, new = shop.sell(2, credit_seconds=600)
    session = radius.session(known.serial, radius.login(known.serial, known.pin))
    assert radius.interim(session, 60).is_acknowledged

    take_away(stack)
    assert radius.login(new.serial, new.pin, timeout_seconds=SILENCE_SECONDS) is None
    assert radius.login(new.serial, "0000000000", timeout_seconds=SILENCE_SECONDS) is None
    stop_packet = radius.build_report(session, "Stop", seconds=90)
    assert radius.send(stop_packet, timeout_seconds=SILENCE_SECONDS) is None

    bring_back(stack)
    # The NAS goes on repeating what was not answered.
    wait_until(lambda: radius.send(stop_packet, timeout_seconds=SILENCE_SECONDS))
    assert shop.used(known) == (90, 0, 0)
    # A database that was only held up may have written the unanswered login when it went on: for a second the
    # customer's next try is that one's rival.
    accept = wait_until(lambda: accepted(radius.login(new.serial, new.pin, timeout_seconds=SILENCE_SECONDS)))
    assert accept["Session-Timeout"] == 600
    again = radius.login(known.serial, known.pin)
    assert again.is_accept and again["Session-Timeout"] == 510


def test_what_was_acknowledged_survives_a_killed_database(shop, radius, stack):
    (card,) = shop.sell(1)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    for seconds in (60, 120, 180):
        assert radius.interim(session, seconds).is_acknowledged
        stack.mariadb.kill()
        stack.mariadb.start()
        assert shop.used(card) == (seconds, 0, 0)
        # Not used before: the first packet after the kill finds a dead connection, and must be charged all the same.


def test_freeradius_starts_without_a_database_and_serves_when_it_comes(shop, radius, stack, wait_until):
    (card,) = shop.sell(1)
    stack.freeradius.stop()
    stack.mariadb.stop()
    stack.freeradius.start()
    assert radius.login(card.serial, card.pin, timeout_seconds=SILENCE_SECONDS) is None
    stack.mariadb.start()
    accept = wait_until(lambda: radius.login(card.serial, card.pin, timeout_seconds=SILENCE_SECONDS))
    assert accept.is_accept


def test_a_database_of_another_schema_version_gets_no_answer_and_a_sentence(shop, radius, stack, wait_until):
    (card,) = shop.sell(1)
    shop.database.execute("INSERT INTO schema_version (version, name) VALUES (9999, 'of tomorrow')")
    stack.mariadb.kill()  # so that radiusd connects, and looks, again
    stack.mariadb.start()
    assert radius.login(card.serial, card.pin, timeout_seconds=SILENCE_SECONDS) is None
    assert "schema version 9999" in stack.freeradius.log_since_mark()
    shop.database.execute("DELETE FROM schema_version WHERE version = 9999")
    assert wait_until(lambda: radius.login(card.serial, card.pin, timeout_seconds=SILENCE_SECONDS)).is_accept


def test_a_locked_card_delays_only_its_own_packets(shop, radius):
    """An office transaction that stays open on one card: the other cards' logins and reports go on."""
    locked, free = shop.sell(2)
    session = radius.session(free.serial, radius.login(free.serial, free.pin))
    with shop.database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT id FROM card WHERE serial = %s FOR UPDATE", [locked.serial])
        assert radius.interim(session, 60).is_acknowledged
        cursor.execute("ROLLBACK")
    assert radius.login(locked.serial, locked.pin).is_accept
