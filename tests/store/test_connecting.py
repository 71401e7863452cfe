"""What the module finds out about the database when it connects, before it decides anything there."""

import pymysql
import pytest

from freeradius_module import connection
from freeradius_module.connection import Connection, WrongSchema
from freeradius_module.sentence import Sentence


def ask(cursor, _request):
    cursor.execute("SELECT 1")
    return cursor.fetchone()


@pytest.mark.parametrize(
    ("needed", "remedy"), [(10**6, "Run 'prepaid db upgrade'."), (0, "Install the newer program.")]
)
def test_a_schema_of_another_version_is_not_used(module_settings, monkeypatch, needed, remedy):
    module = Connection(module_settings)
    monkeypatch.setattr(connection, "SCHEMA_VERSION", needed)
    for _ in range(2):  # It is no failure of the server, which is not left alone.
        with pytest.raises(WrongSchema) as refused:
            module.run(ask, None)
    (sentence,) = refused.value.args
    assert isinstance(sentence, Sentence)
    assert str(sentence).endswith(remedy)
    monkeypatch.undo()
    assert module.run(ask, None) == (1,)
    module.close()


def test_a_database_without_tables_is_not_used(module_settings, database):
    database.execute("RENAME TABLE schema_version TO schema_version_away")
    try:
        with pytest.raises(WrongSchema, match="Make them with 'prepaid db init'"):
            Connection(module_settings).run(ask, None)
    finally:
        database.execute("RENAME TABLE schema_version_away TO schema_version")


class CursorWithoutGalera:
    """Of a MariaDB that does not know Galera's variables, or refuses them for another reason."""

    def __init__(self, number):
        self.number = number

    def execute(self, statement):
        assert "wsrep" in statement
        raise pymysql.err.OperationalError(self.number, "refused")


def test_a_mariadb_without_galera_is_used():
    connection._agree_with_cluster(CursorWithoutGalera(1193))


def test_a_node_that_does_not_agree_to_read_nothing_stale_is_not_used():
    with pytest.raises(pymysql.err.OperationalError, match="refused"):
        connection._agree_with_cluster(CursorWithoutGalera(1227))
