"""A wrong PIN and an unknown serial cost the database the same work, so that timing reveals little."""

import re
import types

import pymysql
import pytest

from freeradius_module import store
from tests.engine_callers import request


@pytest.fixture
def asked(monkeypatch):
    """The statements that are sent, without their values."""
    texts = []
    execute = pymysql.cursors.Cursor.execute

    def keep(cursor, query, args=None):
        text = " ".join(str(query).split())
        texts.append(re.sub("'[^']*'", "?", text) if text.startswith("EXECUTE") else text)
        return execute(cursor, query, args)

    monkeypatch.setattr(pymysql.cursors.Cursor, "execute", keep)
    return texts


def test_an_unknown_serial_executes_the_same_statements_as_a_wrong_pin(shop, engine, asked):
    (card,) = shop.sell(1)
    seen = {}
    for serial in (card.serial, card.serial, "9" * 12):
        asked.clear()
        login = request(types.SimpleNamespace(serial=serial)) | {"User-Password": "no such PIN"}
        assert engine.authorize(login).answer is None
        engine.record_wrong_pin(login)
        seen[serial] = list(asked)
    known, unknown = seen.values()
    # All but the table in which the try is counted.
    assert len(known) == 3
    assert known[:2] == unknown[:2]
    assert "login_refusal" in known[2] and "unknown_login" in unknown[2]
    assert known[2].split("VALUES")[0].startswith("INSERT INTO") and "SELECT" not in known[2]


def test_a_decoy_row_is_read_for_a_serial_that_does_not_exist(shop, engine, monkeypatch):
    (card,) = shop.sell(1)
    made = []
    make = store.logins._card
    monkeypatch.setattr(store.logins, "_card", lambda *arguments: made.append(1) or make(*arguments))
    for serial in (card.serial, "9" * 12):
        made.clear()
        engine.authorize(request(types.SimpleNamespace(serial=serial)))
        assert made == [1]
