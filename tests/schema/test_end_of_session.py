"""When a session's end was recorded: by the server's clock, whatever time the client's connection has."""

import contextlib

import pytest

from admin.shell.office import Office as AdminOffice

MOVED = ["1000000000", "UNIX_TIMESTAMP() + 400 * 86400"]


@pytest.fixture
def module(office):
    """A cursor of FreeRADIUS' account, which may write sessions."""
    with contextlib.closing(AdminOffice(str(office.option_file)).connect("prepaid-radius")) as connection:
        yield connection.cursor()


@pytest.fixture
def is_now(database):
    def difference() -> bool:
        return (
            database.value("SELECT MAX(ABS(TIMESTAMPDIFF(SECOND, end_recorded_at, UTC_TIMESTAMP(3)))) FROM session")
            < 60
        )

    return difference


@pytest.mark.parametrize("moved", MOVED)
@pytest.mark.parametrize("column", ["", ", end_recorded_at"])
def test_a_new_session_has_the_servers_time(office, database, module, is_now, moved, column):
    module.execute(f"SET timestamp = {moved}, time_zone = '-11:00'")
    module.execute(
        f"INSERT INTO session (card_id, login_number, nas_id, due_at{column})"
        f" VALUES (1, 1, 1, UTC_TIMESTAMP(3){column and ', UTC_TIMESTAMP(3)'})"
    )
    module.connection.commit()
    assert is_now()


@pytest.mark.parametrize("moved", MOVED)
def test_an_ended_session_has_the_servers_time(office, database, module, is_now, moved):
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, due_at, end_recorded_at)"
        " VALUES (1, 1, 1, UTC_TIMESTAMP(3), '2026-01-01')"
    )
    module.execute(f"SET timestamp = {moved}")
    module.execute("UPDATE session SET due_at = NULL, end_recorded_at = '2020-01-01'")
    module.connection.commit()
    assert is_now()


def test_only_the_owner_moves_it_afterwards(office, database, module, is_now):
    module.execute("INSERT INTO session (card_id, login_number, nas_id) VALUES (1, 1, 1)")
    module.execute("UPDATE session SET end_recorded_at = '2020-01-01'")
    module.connection.commit()
    assert is_now()
    database.execute("UPDATE session SET end_recorded_at = '2020-01-01'")
    assert not is_now()
