"""What moves money, credit and keys, by people who have its role and no other."""

import itertools

import pytest

from tests.office import Office

_names = itertools.count(1)


@pytest.fixture
def hire(office, tmp_path):
    """Adds an operator with some roles; returns an office that works with this account."""
    hired = []

    def hire_(*roles: str) -> Office:
        name = f"clerk-{next(_names)}"
        printed = office.json("operator", "add", name, *itertools.chain(*(("--role", role) for role in roles)))
        hired.append(name)
        path = tmp_path / f"{name}.cnf"
        path.write_text("\n".join(printed["option_file"]) + "\n")
        return Office(path)

    yield hire_
    for name in hired:
        office.run("operator", "remove", name)


def denied(result, role):
    return result.exit_status == 1 and role in result.stderr


def test_who_looks_at_cards_may_ask_what_a_login_would_get(office, hire):
    (card,) = office.sell(1, "--time", "10m")
    assert hire("see").json("simulate", card.serial)["accepted"]


def test_credit_moves_by_the_role_for_it(office, hire):
    source, target, third = office.sell(3, "--time", "10m")
    clerk = hire("credit")
    clerk.must("credit", source.serial, "--add", "5m", "--reason", "Storm")
    clerk.must("transfer", source.serial, target.serial, "--reason", "Torn")
    assert office.show(target)["remaining_seconds"] == 1500
    assert office.track(target)[-1]["operator"].startswith("clerk-")
    other = hire("block")
    for command in (
        ("credit", third.serial, "--add", "5m", "--reason", "x"),
        ("transfer", third.serial, target.serial, "--reason", "x"),
    ):
        assert denied(other.run(*command), "credit")
    assert office.show(third)["remaining_seconds"] == 600


def test_the_subscriber_centre_redeems_and_another_exports(office, hire, tmp_path):
    card, other = office.sell(2, product=office.product("--money", "10.00", kind="telephony"))
    centre, voice = hire("redeem"), hire("voice")
    assert centre.run("redeem", card.serial, "--account", "a", stdin="0000000000\n").exit_status == 1
    assert centre.run("redeem", "9999999999", "--account", "a", stdin="0000000000\n").exit_status == 1
    assert centre.run("redeem", card.serial, "--account", "a", stdin=f"{card.pin}\n").exit_status == 0
    assert denied(centre.run("voice", "export", "--output", tmp_path / "1.csv"), "voice")
    assert denied(voice.run("redeem", other.serial, "--account", "a", stdin=f"{other.pin}\n"), "redeem")
    assert voice.json("voice", "export", "--output", tmp_path / "1.csv")["count"] == 1
    assert voice.json("voice", "confirm", "--export", "1")["confirmed"] == 1


def test_cards_are_taken_over_by_the_role_for_it(office, hire, tmp_path):
    path = tmp_path / "cards.csv"
    path.write_text("serial,pin,status,used_seconds\nA1,1234567890,in_use,60\n")
    product = office.product("--time", "10m")
    assert denied(hire("generate").run("import", path, "--product", product), "import")
    assert hire("import").json("import", path, "--product", product)["count"] == 1
    assert hire("generate").json("generate", "--product", product, "--count", "2")["count"] == 2


def test_spoiled_cards_are_void_by_the_role_for_it(office, hire, tmp_path):
    (card,) = office.stock(1, "--time", "10m")
    path = tmp_path / "missing.txt"
    path.write_text(card.serial)
    assert denied(hire("see").run("batch", "receive", card.batch, "--missing", path, "--yes"), "delete")
    assert hire("delete").json("batch", "receive", card.batch, "--missing", path, "--yes")["voided"] == 1


def test_keys_are_changed_by_who_administers(office, hire, _unstarted_stack):
    key_file = _unstarted_stack.key_file
    before = key_file.read_bytes()
    try:
        office.stock(3, "--time", "10m")
        assert denied(hire("see_pin", "delete").run("key", "rotate", "--yes"), "admin")
        boss = hire("admin")
        boss.must("key", "add")
        assert boss.json("key", "rotate", "--yes")["cards"] == 3
    finally:
        key_file.write_bytes(before)
