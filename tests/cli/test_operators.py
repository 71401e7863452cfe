"""operator add, list, remove: people with roles, what each may do, and what the refusal says."""

import itertools

import pytest

from tests.office import Office

_names = itertools.count(1)


@pytest.fixture
def hire(office, tmp_path):
    """Adds an operator with some roles; returns the name, and an office that works with this account."""
    hired = []

    def hire_(*roles: str) -> tuple[str, Office]:
        name = f"person-{next(_names)}"
        printed = office.json("operator", "add", name, *itertools.chain(*(("--role", role) for role in roles)))
        hired.append(name)
        path = tmp_path / f"{name}.cnf"
        path.write_text("\n".join(printed["option_file"]) + "\n")
        return name, Office(path)

    yield hire_
    for name in hired:
        office.run("operator", "remove", name)


def test_an_operator_sees_cards_and_changes_none(office, hire):
    (card,) = office.sell(1, "--time", "10m")
    _name, clerk = hire("see")
    assert clerk.show(card)["status"] == "delivered"
    assert [row["what"] for row in clerk.track(card)][-1] == "delivered"
    for question in (("list",), ("note", "list"), ("batch", "show", card.batch), ("product", "list"), ("sessions",)):
        clerk.must(*question)
    assert office.show(card) == clerk.show(card)


# The command, with C for a card at a partner, S for one in stock, P for the partner; and the role that it needs.
ACTIONS = {
    "generate": ("generate", "--product", "T", "--count", "2"),
    "deliver": ("deliver", "--partner", "P", "--range", "S-S"),
    "return": ("return", "--partner", "P", "--range", "C-C"),
    "block": ("block", "C", "--reason", "Stolen"),
    "delete": ("delete", "S", "--yes", "--reason", "Misprinted"),
    "credit": ("edit", "C", "--expires", "2099-12-31", "--reason", "goodwill"),
    "products": ("product", "add", "N", "--kind", "internet", "--time", "1h"),
    "partners": ("partner", "add", "N"),
    "nas": ("nas", "add", "N", "--address", "10.9.9.9/32", "--secret-file", "-"),
    "disconnect": ("enforce", "--wait", "0"),
    "address": ("sessions", "--address", "10.5.0.7", "--at", "2026-03-02T20:30Z"),
}


@pytest.mark.parametrize("role", ACTIONS)
def test_each_role_does_its_action_and_no_other(office, hire, role):
    name, clerk = hire("see", role)
    (in_stock,) = office.stock(1, "--time", "10m")
    partner = office.partner()
    (sold,) = office.sell(1, "--time", "10m", partner=partner)
    meant = {
        "C": sold.serial,
        "S": in_stock.serial,
        "P": partner,
        "T": sold.product,
        "N": f"{name} new",
        "S-S": f"{in_stock.serial}-{in_stock.serial}",
        "C-C": f"{sold.serial}-{sold.serial}",
    }

    def act(action):
        return clerk.run(*(meant.get(word, word) for word in ACTIONS[action]), stdin="secret\n")

    before = office.track(in_stock) + office.track(sold)
    for other in sorted(ACTIONS.keys() - {role}):
        refused = act(other)
        assert refused.exit_status == 1, (other, refused.stdout, refused.stderr)
        assert f"lacks the role '{other}'" in refused.stderr and name in refused.stderr, refused.stderr
        assert "denied" not in refused.stderr and "needs_its_role" not in refused.stderr, "the database's own words"
    assert office.track(in_stock) + office.track(sold) == before
    done = act(role)
    assert done.exit_status == 0, done.stderr


def test_credit_is_added_and_moved_by_its_role(office, hire):
    one, other = office.sell(2, "--time", "10m")
    _name, clerk = hire("credit")
    clerk.must("credit", one.serial, "--add", "5m", "--reason", "Line was down")
    clerk.must("transfer", one.serial, other.serial, "--reason", "Lost the first one")
    assert office.show(other)["credit_seconds"] == 600 + 900


def test_telephony_is_two_roles(office, hire, tmp_path):
    one, other = office.sell(2, product=office.product("--money", "10.00", kind="telephony"))
    _name, centre = hire("redeem")
    centre.must("redeem", one.serial, "--account", "+551133334444", stdin=one.pin + "\n")
    refused = centre.run("voice", "export", "--output", tmp_path / "vsc.csv")
    assert refused.exit_status == 1 and "lacks the role 'voice'" in refused.stderr
    _name, platform = hire("voice")
    assert len(platform.json("voice", "pending")) == 1
    platform.must("voice", "export", "--output", tmp_path / "vsc.csv")
    refused = platform.run("redeem", other.serial, "--account", "A", stdin=other.pin + "\n")
    assert refused.exit_status == 1 and "lacks the role 'redeem'" in refused.stderr


def test_cards_are_imported_by_a_role_of_its_own(office, hire, tmp_path):
    product = office.product("--time", "1h")
    path = tmp_path / "old.csv"
    path.write_text("serial,pin,status,used_seconds\nOLD1,48151623,in_use,600\n")
    _name, clerk = hire("generate")
    refused = clerk.run("import", "--product", product, path)
    assert refused.exit_status == 1 and "lacks the role 'import'" in refused.stderr
    _name, clerk = hire("import")
    clerk.must("import", "--product", product, path)
    assert office.show("OLD1")["used_seconds"] == 600
    _name, clerk = hire("audit")
    clerk.must("reconcile")


def test_who_audits_and_who_reports(office, hire):
    (card,) = office.sell(1, "--time", "10m")
    _name, auditor = hire("audit")
    assert auditor.json("audit", "verify")["rows"] > 0
    auditor.must("reconcile")
    _name, clerk = hire("report")
    for name in ("stock", "sales", "usage", "settlement"):
        clerk.must("report", name)
    refused = clerk.run("show", card.serial)
    assert refused.exit_status == 1 and "lacks the role 'see'" in refused.stderr
    refused = clerk.run("audit", "verify")
    assert refused.exit_status == 1 and "lacks the role 'audit'" in refused.stderr


@pytest.mark.parametrize("command", [("operator", "list"), ("doctor",)])
def test_what_only_administrators_may_read(office, hire, command):
    """Whoever already may look at cards must not be told to get the role `see`."""
    _name, clerk = hire("see")
    assert "lacks the role 'admin'" in clerk.run(*command).stderr
    _name, administrator = hire("admin")
    assert "lacks the role" not in administrator.run(*command).stderr


def test_the_history_names_the_person(office, hire):
    (card,) = office.sell(1, "--time", "10m")
    name, clerk = hire("block")
    clerk.must("block", card.serial, "--reason", "Stolen")
    last = office.track(card)[-1]
    assert (last["what"], last["operator"], last["reason"]) == ("blocked", name, "Stolen")


def test_pins_are_exported_by_who_may_read_them_and_it_is_on_record(office, hire, tmp_path):
    product = office.product("--time", "10m")
    batch = office.json("generate", "--product", product, "--count", 2)["batch"]
    export = ("export", "--batch", batch, "--fields", "serial,pin", "--output")
    _, packer = hire("export")
    result = packer.run(*export, tmp_path / "no.csv")
    assert result.exit_status == 1 and "'see_pin'" in result.stderr and not (tmp_path / "no.csv").exists()
    name, trusted = hire("export", "see_pin")
    trusted.must(*export, tmp_path / "cards.csv")
    last = office.json("batch", "show", batch)["events"][-1]
    assert (last["what"], last["operator"]) == ("exported", name) and '"pin"' in last["detail"]


def test_roles_come_and_go(office, hire):
    (card,) = office.stock(1, "--time", "10m")
    name, clerk = hire("see")
    assert clerk.run("block", card.serial, "--reason", "Stolen").exit_status == 1
    assert office.json("operator", "add", name, "--role", "block") == {
        "operator": name,
        "roles": ["see", "block"],
        "option_file": [],
    }
    clerk.must("block", card.serial, "--reason", "Stolen")
    office.must("operator", "remove", name, "--role", "block")
    assert clerk.run("unblock", card.serial).exit_status == 1
    assert {"operator": name, "roles": ["see"]} in office.json("operator", "list")
    office.must("operator", "remove", name)
    assert clerk.run("list").exit_status == 3
    assert name not in str(office.json("operator", "list"))


def test_who_has_all_roles_does_all(office, hire):
    _name, clerk = hire("admin")
    (card,) = clerk.sell(1, "--time", "10m")
    clerk.must("block", card.serial, "--reason", "Stolen")
    clerk.must("unblock", card.serial)
    assert clerk.show(card)["status"] == "delivered"


def test_a_password_of_ones_own(office, hire, tmp_path):
    name = f"person-{next(_names)}"
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    printed = office.json("operator", "add", name, "--role", "see", "--password-file", path)
    assert "password = correct horse" in printed["option_file"]
    result = office.run("operator", "add", name, "--role", "block", "--password-file", path)
    assert result.exit_status == 2
    office.must("operator", "remove", name)
    path.write_text("\n")
    assert office.run("operator", "add", name, "--role", "see", "--password-file", path).exit_status == 2


def test_a_server_that_judges_passwords_sees_them(office, database, tmp_path):
    """It accepts no hash of a password that it has not seen (strict_password_validation)."""
    name = f"person-{next(_names)}"
    database.execute("INSTALL SONAME 'simple_password_check'")
    try:
        weak = office.run("operator", "add", name, "--role", "see", "--password-file", "-", stdin="correct horse\n")
        printed = office.json(
            "operator", "add", name, "--role", "see", "--password-file", "-", stdin="Correct-Horse-5\n"
        )
    finally:
        database.execute("UNINSTALL SONAME 'simple_password_check'")
    assert weak.exit_status == 1 and "policy" in weak.stderr
    (tmp_path / "prepaid.cnf").write_text("\n".join(printed["option_file"]) + "\n")
    assert Office(tmp_path / "prepaid.cnf").json("list") == []
    office.must("operator", "remove", name)


@pytest.mark.parametrize(("name", "status"), [("prepaid_admin", 1), ("root", 1), ("ana@home", 2), ("", 2), ("x y", 2)])
def test_a_wrong_name_of_an_operator_is_refused(office, name, status):
    assert office.run("operator", "add", name, "--role", "see").exit_status == status


def test_an_unknown_operator_brings_the_nearest(office, hire):
    name, _engine = hire("see")
    result = office.run("operator", "remove", name + "x")
    assert result.exit_status == 1 and name in result.stderr


def test_an_operator_cannot_make_operators(office, hire):
    name, clerk = hire("admin")
    result = clerk.run("operator", "add", "friend", "--role", "admin", "--root-user", name)
    assert result.exit_status in (1, 3)
    assert "friend" not in str(office.json("operator", "list"))


def test_every_role_is_listed_with_what_it_is_for(office):
    from admin.store.roles import ROLES

    assert [row["role"] for row in office.json("operator", "list", "--roles")] == list(ROLES)


def test_a_pin_is_shown_to_who_may_read_it_and_it_is_on_record(office, hire):
    (card,) = office.sell(1, "--time", "10m")
    _, clerk = hire("see", "block")
    result = clerk.run("show", card.serial, "--pin")
    assert result.exit_status == 1 and "'see_pin'" in result.stderr and card.pin not in result.stdout + result.stderr
    assert "pin" not in clerk.json("show", card.serial)
    before = len(office.track(card))
    name, trusted = hire("see_pin")
    assert trusted.json("show", card.serial, "--pin")["pin"] == card.pin
    history = office.track(card)
    assert len(history) == before + 1
    assert (history[-1]["what"], history[-1]["operator"]) == ("pin_read", name)


def test_an_export_without_pins_needs_no_role_for_pins(office, hire, tmp_path):
    product = office.product("--time", "10m")
    made = office.json("generate", "--product", product, "--count", 3)
    _, packer = hire("export")
    packer.must("export", "--batch", made["batch"], "--fields", "serial,product", "--output", tmp_path / "labels.csv")
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert lines[1] == f"{made['first_serial']},{product}" and len(lines) == 4
