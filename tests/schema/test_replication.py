"""What a Galera cluster asks of a schema."""


def test_every_table_has_a_primary_key_and_is_innodb(schema_database):
    """Rows without one cannot be told apart on another node; other engines are not replicated."""
    rows = schema_database.query(
        """
        SELECT table_name AS name, engine
          FROM information_schema.tables
         WHERE table_schema = DATABASE()
           AND table_type = 'BASE TABLE'
        """
    )
    keyed = schema_database.query(
        """
        SELECT table_name AS name
          FROM information_schema.table_constraints
         WHERE table_schema = DATABASE()
           AND constraint_type = 'PRIMARY KEY'
        """
    )
    assert {row["engine"] for row in rows} == {"InnoDB"}
    assert {row["name"] for row in rows} == {row["name"] for row in keyed}
