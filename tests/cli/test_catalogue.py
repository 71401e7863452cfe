"""Products, partners and NAS: what is sold, to whom, and on which equipment."""

import configparser
import re

import pymysql
import pytest

from admin import nas
from freeradius_module.rules import vendors
from tests.office import Office

# --- Products ---------------------------------------------------------------------------------------------


def test_a_product_has_everything_that_was_said(office):
    office.must(
        "product",
        "add",
        "All in",
        "--kind",
        "internet",
        "--time",
        "10h",
        "--traffic",
        "1GiB",
        "--traffic-down",
        "500MB",
        "--traffic-up",
        "100MB",
        "--money",
        "20.00",
        "--tariff-minute",
        "0.05",
        "--tariff-mb",
        "0.01",
        "--valid-days",
        "30",
        "--sell-by",
        "2030-12-31",
        "--valid-until",
        "2031-06-30",
        "--timezone",
        "America/Sao_Paulo",
        "--hours",
        "Mo-Fr 08:00-18:00",
        "--speed-down",
        "10000",
        "--speed-up",
        "2000",
        "--fup-share",
        "80",
        "--fup-down",
        "512",
        "--fup-up",
        "256",
        "--sessions",
        "2",
        "--replace-oldest",
        "--bind-device",
        "--interim",
        "600",
        "--idle-timeout",
        "900",
        "--price",
        "10.00",
        "--commission",
        "12.5",
        "--reply",
        "Mikrotik-Group := guests",
        "--reply",
        'Reply-Message += "Bom dia"',
    )
    shown = office.json("product", "show", "All in")
    assert shown == {
        "name": "All in",
        "kind": "internet",
        "credit_seconds": 36000,
        "credit_octets": 2**30,
        "credit_down_octets": 500_000_000,
        "credit_up_octets": 100_000_000,
        "credit_cents": 2000,
        "tariff_minute_millicents": 5000,
        "tariff_mb_millicents": 1000,
        "valid_days": 30,
        "sell_by": "2030-12-31",
        # The end of 30 June in the product's time zone is three o'clock in the morning in UTC.
        "valid_until_at": "2031-07-01T03:00:00.000Z",
        "allowed_hours": "Mo-Fr 08:00-18:00",
        "timezone": "America/Sao_Paulo",
        "speed_down_kbit": 10000,
        "speed_up_kbit": 2000,
        "fup_share_percent": 80,
        "fup_down_kbit": 512,
        "fup_up_kbit": 256,
        "max_sessions": 2,
        "replace_oldest": True,
        "bind_device": True,
        "interim_seconds": 600,
        "idle_seconds": 900,
        "price_cents": 1000,
        "commission_basis_points": 1250,
        "retired_at": None,
        "reply": ["Mikrotik-Group := guests", "Reply-Message += Bom dia"],
    }


@pytest.mark.parametrize(
    "reply",
    [
        "Service-Type := Framed-User",
        "Service-Type := 2",
        "framed-ip-address := 10.0.0.1",
        "Tunnel-Type:1 := VLAN",
        "Cisco-AVPair += ip:addr-pool=guests",
        "Framed-IPv6-Prefix := 2001:db8::/64",
        "Class-Of-Guest := 7",
    ],
)
def test_a_reply_attribute_that_freeradius_can_send_is_taken(office, tmp_path, reply):
    """The last one is known to the administrator's own local dictionary alone, through a file that it includes."""
    (tmp_path / "dictionary.guests").write_text(
        "VENDOR Guests 61000\nBEGIN-VENDOR Guests\nATTRIBUTE Class-Of-Guest 1 byte\nEND-VENDOR Guests\n"
    )
    (tmp_path / "dictionary").write_text("# local\n$INCLUDE dictionary.guests\n")
    office = with_settings(office, tmp_path, raddb=tmp_path)
    office.must("product", "add", "Guest", "--time", "1h", "--reply", reply)
    office.must("product", "edit", "Guest", "--reply", reply)
    refused = office.run("product", "edit", "Guest", "--reply", "Class-Of-Guests := 7")
    assert refused.exit_status == 1 and "Class-Of-Guests" in refused.stderr
    assert len(office.json("product", "show", "Guest")["reply"]) == 1


def test_without_freeradius_dictionaries_no_reply_attribute_is_taken_unseen(office, tmp_path):
    office = with_settings(office, tmp_path, dictionaries=tmp_path)
    result = office.run("product", "add", "Guest", "--time", "1h", "--reply", "Filter-Id := guests")
    assert result.exit_status == 1 and str(tmp_path) in result.stderr and "dictionaries =" in result.stderr
    office.must("product", "add", "Guest", "--time", "1h")


def with_settings(office, folder, **settings) -> Office:
    """The office with another option file."""
    options = configparser.ConfigParser(interpolation=None)
    options.read(office.option_file)
    options["prepaid"].update({name: str(value) for name, value in settings.items()})
    path = folder / "prepaid.cnf"
    with open(path, "w") as file:
        options.write(file)
    return Office(path)


def test_a_product_is_found_in_the_list_until_it_is_retired(office):
    name = office.product("--time", "1h")
    assert name in [row["name"] for row in office.json("product", "list")]
    office.must("product", "retire", name)
    assert name not in [row["name"] for row in office.json("product", "list")]
    assert name in [row["name"] for row in office.json("product", "list", "--all")]


def test_no_cards_are_made_of_a_retired_product(office):
    name = office.product("--time", "1h")
    office.must("product", "retire", name)
    result = office.run("generate", "--product", name, "--count", 1)
    assert result.exit_status == 1 and name in result.stderr


@pytest.mark.parametrize(
    ("options", "exit_status", "word"),
    [
        ((), 1, "credit"),
        (("--money", "20.00"), 1, "tariff"),
        (("--time", "10h", "--tariff-minute", "0.05"), 1, "tariff"),
        (("--time", "0s"), 1, "zero"),
        (("--time", "10"), 2, "unit"),
        (("--time", "-1h"), 2, "duration"),
        (("--traffic", "1.500MB"), 2, "1.500MB"),
        (("--time", "1h", "--fup-share", "80"), 1, "traffic"),
        (("--time", "1h", "--interim", "5"), 2, "60"),
        (("--time", "1h", "--hours", "Mondays"), 2, "Mondays"),
        (("--time", "1h", "--timezone", "Brasilia"), 2, "Brasilia"),
        (("--time", "1h", "--sell-by", "31/12/2030"), 2, "2026-12-31"),
        (("--time", "1h", "--commission", "101"), 2, "100"),
        (("--time", "1h", "--reply", "Mikrotik-Group"), 2, "Attribute := value"),
        (("--time", "1h", "--reply", "Session-Timeout := 0"), 2, "Session-Timeout"),
        (("--time", "1h", "--sessions", "0"), 2, "1"),
        # FreeRADIUS would drop these attributes, and the guard would refuse each login.
        (("--time", "1h", "--reply", "Mikrotik-Grupp := guests"), 1, "Did you mean 'Mikrotik-Group'"),
        (("--time", "1h", "--reply", "Service-Type := Frame"), 2, "'Frame' is not a value of Service-Type"),
        (("--time", "1h", "--reply", "Framed-IP-Address := 10.0.0.256"), 2, "ipaddr"),
        (("--time", "1h", "--reply", "Filter-Id := " + "x" * 254), 2, "Filter-Id"),
        (("--time", "1h", "--reply", "Mikrotik-Group := " + "x" * 248), 2, "Mikrotik-Group"),
        (("--time", "1h", "--reply", "Auth-Type := Accept"), 2, "never sent"),
        (("--time", "1h", "--reply", "Mikrotik-Group:1 := guests"), 2, "no tag"),
        # In our own dictionary, but a volume: each login sets it.
        (("--time", "1h", "--reply", "ChilliSpot-Max-Total-Gigawords := 1"), 2, "set at each login"),
    ],
)
def test_a_product_that_makes_no_sense_is_refused(office, options, exit_status, word):
    result = office.run("product", "add", "Nonsense", "--kind", "internet", *options)
    assert result.exit_status == exit_status
    assert word in result.stderr
    assert office.json("product", "list", "--all") == []


def test_a_name_is_given_once(office):
    name = office.product("--time", "1h")
    result = office.run("product", "add", name, "--time", "2h")
    assert result.exit_status == 1 and "already" in result.stderr
    assert office.json("product", "show", name)["credit_seconds"] == 3600


def test_edit_changes_what_is_given_and_leaves_the_rest(office):
    name = office.product("--time", "1h", "--price", "10", "--valid-days", "30", "--reply", "Mikrotik-Group := a")
    office.must("product", "edit", name, "--price", "12", "--valid-days", "none", "--rename", "Dearer")
    shown = office.json("product", "show", "Dearer")
    assert (shown["price_cents"], shown["valid_days"], shown["credit_seconds"]) == (1200, None, 3600)
    assert shown["reply"] == ["Mikrotik-Group := a"]


def test_what_people_bought_is_not_edited(office):
    (card,) = office.stock(1, "--time", "1h")
    result = office.run("product", "edit", card.product, "--time", "30m")
    assert result.exit_status == 1 and "cannot change once it has cards" in result.stderr
    office.must("product", "edit", card.product, "--price", "12")


def test_edit_without_a_change_is_wrong_usage(office):
    assert office.run("product", "edit", office.product("--time", "1h")).exit_status == 2


def test_a_mistyped_product_brings_the_nearest_name(office):
    office.must("product", "add", "Ten hours", "--time", "10h")
    result = office.run("product", "show", "Ten hour")
    assert result.exit_status == 1 and "Did you mean 'Ten hours'?" in result.stderr


@pytest.mark.parametrize("name", ["", " ", "x" * 65, " padded "])
def test_a_name_is_a_name(office, name):
    assert office.run("product", "add", name, "--time", "1h").exit_status == 2
    assert office.run("partner", "add", name * 2 if name.strip() else name).exit_status == 2


# --- Partners ---------------------------------------------------------------------------------------------


def test_a_partner_has_everything_that_was_said(office):
    office.must(
        "partner",
        "add",
        "Banca do Norte",
        "--document",
        "11222333000181",
        "--commission",
        "12.5",
        "--contact",
        "Ana, 92 99999-0000",
        "--credit-limit",
        "500.00",
    )
    assert office.json("partner", "show", "Banca do Norte") == {
        "name": "Banca do Norte",
        "document": "11.222.333/0001-81",
        "contact": "Ana, 92 99999-0000",
        "commission_basis_points": 1250,
        "credit_limit_cents": 50000,
        "retired_at": None,
    }


def test_a_document_with_wrong_check_digits_is_kept_with_a_word_about_it(office):
    result = office.must("partner", "add", "Banca", "--document", "11222333000182")
    assert "check digits" in result.stderr
    assert office.json("partner", "show", "Banca")["document"] == "11222333000182"


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", 'Rita\'s "Bar"', "'; DROP TABLE card; --", "Café ☕ [bold]"])
def test_a_hostile_name_is_a_name_like_any_other(office, name):
    office.must("partner", "add", name)
    assert office.json("partner", "show", name)["name"] == name
    assert name in [row["name"] for row in office.json("partner", "list")]


def test_nothing_is_delivered_to_a_retired_partner(office):
    partner = office.partner()
    (card,) = office.stock(1, "--time", "1h")
    office.must("partner", "retire", partner)
    result = office.run("deliver", "--partner", partner, "--batch", card.batch)
    assert result.exit_status == 1 and partner in result.stderr
    assert office.show(card)["status"] == "created"


def test_an_edited_partner_keeps_the_rest(office):
    office.must("partner", "add", "Banca", "--commission", "10", "--contact", "Ana")
    office.must("partner", "edit", "Banca", "--commission", "none", "--rename", "Banca Nova")
    shown = office.json("partner", "show", "Banca Nova")
    assert (shown["commission_basis_points"], shown["contact"]) == (None, "Ana")


# --- NAS --------------------------------------------------------------------------------------------------


def test_a_nas_is_added_and_its_secret_is_nowhere_to_be_seen(office, database):
    result = office.must(
        "nas",
        "add",
        "hotspot",
        "--address",
        "10.1.2.3",
        "--vendor",
        "mikrotik",
        "--secret-file",
        "-",
        "--json",
        stdin="very secret\n",
    )
    assert result.json() == {
        "name": "hotspot",
        "address": "10.1.2.3/32",
        "vendor": "mikrotik",
        "disconnect_port": 3799,
        "require_message_authenticator": True,
        "counter_rule": "gigawords",
    }
    assert "very secret" not in office.must("nas", "show", "hotspot").stdout
    assert b"very secret" not in database.value("SELECT secret_sealed FROM nas WHERE name = 'hotspot'")


def test_a_sealed_secret_opens_for_its_nas_and_no_other(office, database):
    from admin.shell.office import Office
    from freeradius_module.sealing import pin

    office.must("nas", "add", "hotspot", "--address", "10.1.2.3", "--secret-file", "-", stdin="very secret\n")
    (row,) = database.query("SELECT secret_sealed, key_number FROM nas WHERE name = 'hotspot'")
    keyring = Office(str(office.option_file)).keyring
    assert pin.open_nas_secret(row["secret_sealed"], row["key_number"], "hotspot", keyring) == "very secret"
    with pytest.raises(pin.SealError):
        pin.open_nas_secret(row["secret_sealed"], row["key_number"], "another", keyring)


@pytest.mark.parametrize("command", ["add", "edit"])
def test_the_command_takes_every_vendor_of_the_rules(command):
    (vendor,) = (parameter for parameter in nas.nas.commands[command].params if parameter.name == "vendor")
    assert tuple(vendor.type.choices) == vendors.VENDORS


def test_the_database_takes_every_vendor_of_the_rules(database):
    """The column repeats the list, so that nobody can store another vendor in the mysql shell."""
    column = database.value(
        "SELECT column_type FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = 'nas' AND column_name = 'vendor'"
    )
    assert tuple(re.findall(r"'(\w+)'", column)) == vendors.VENDORS


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("10.0.0.1/8", "10.0.0.0/8"),
        ("10.0.0.256", "10.0.0.256"),
        ("hotspot.example", "hotspot.example"),
        ("", "address"),
    ],
)
def test_an_address_is_an_address_or_a_network(office, address, word):
    result = office.run("nas", "add", "x", "--address", address, "--secret-file", "-", stdin="secret")
    assert result.exit_status == 2 and word in result.stderr


def test_the_same_network_is_not_added_twice_in_another_spelling(office):
    office.must("nas", "add", "one", "--address", "2001:DB8::/32", "--secret-file", "-", stdin="secret")
    result = office.run("nas", "add", "two", "--address", "2001:db8:0:0::/32", "--secret-file", "-", stdin="secret")
    assert result.exit_status == 1 and "address" in result.stderr


@pytest.mark.parametrize("secret", ["", "\n", "x" * 300, "não"])
def test_a_secret_is_ascii_and_not_empty(office, secret):
    assert office.run("nas", "add", "x", "--address", "10.0.0.1", "--secret-file", "-", stdin=secret).exit_status == 2


def test_a_nas_is_edited_and_removed(office):
    office.must(
        "nas", "edit", "loopback", "--vendor", "chilli", "--no-message-authenticator", "--counter-rule", "wraps"
    )
    shown = office.json("nas", "show", "loopback")
    assert (shown["vendor"], shown["require_message_authenticator"], shown["counter_rule"]) == (
        "chilli",
        False,
        "wraps",
    )
    office.must("nas", "remove", "loopback")
    assert office.json("nas", "list") == []
    assert office.run("nas", "show", "loopback").exit_status == 1


def test_a_nas_in_the_records_is_not_removed(office, database):
    (card,) = office.sell(1, "--time", "1h")
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id) SELECT card.id, 1, nas.id FROM card, nas"
        " WHERE card.serial = %s AND nas.name = 'loopback'",
        [card.serial],
    )
    result = office.run("nas", "remove", "loopback")
    assert result.exit_status == 1 and "sessions" in result.stderr
    assert [row["name"] for row in office.json("nas", "list")] == ["loopback"]


def test_the_nas_that_stands_for_the_unlisted_is_out_of_reach(office):
    assert office.run("nas", "edit", "unlisted", "--vendor", "cisco").exit_status == 1
    assert office.run("nas", "remove", "unlisted").exit_status == 1


# --- A NAS over TLS -------------------------------------------------------------------------------------------


def test_a_nas_over_tls_has_the_name_of_its_certificate(office):
    row = office.json("nas", "add", "hotspot-praia", "--tls", "--vendor", "mikrotik")
    assert (row["name"], row["address"]) == ("hotspot-praia", "tls:hotspot-praia")
    assert office.json("nas", "edit", "hotspot-praia", "--vendor", "chilli")["vendor"] == "chilli"
    for changes in (["--address", "10.0.0.1"], ["--secret-file", "-"]):
        refused = office.run("nas", "edit", "hotspot-praia", *changes, stdin="secret")
        assert refused.exit_status == 1 and "is known by its certificate" in refused.stderr
    assert office.json("nas", "remove", "hotspot-praia")["address"] == "tls:hotspot-praia"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x", "--tls", "--address", "10.0.0.1"], "--tls cannot be combined with --address"),
        (["x", "--tls", "--secret-file", "-"], "--tls cannot be combined with --address and --secret-file"),
        (["x" * 42, "--tls"], "at most 41 ASCII characters"),
        (["hotspot-são", "--tls"], "at most 41 ASCII characters"),
        (["x", "--secret-file", "-"], "A NAS needs --address; or --tls"),
        (["x", "--address", "10.0.0.1"], "A NAS needs --secret-file; or --tls"),
    ],
)
def test_a_nas_over_tls_that_contradicts_itself(office, arguments, sentence):
    refused = office.run("nas", "add", *arguments, stdin="secret")
    assert refused.exit_status == 2 and sentence in " ".join(refused.stderr.split())
    assert office.json("nas", "list") == [row for row in office.json("nas", "list") if row["name"] == "loopback"]


def test_no_certificate_stands_for_the_nas_of_another_name(office, database):
    office.must("nas", "add", "one", "--tls")
    for statement in (
        "INSERT INTO nas (name, address, secret_sealed, key_number) VALUES ('two', 'tls:three', 'x', 1)",
        "UPDATE nas SET address = 'tls:two' WHERE name = 'one'",
        "UPDATE nas SET name = 'two' WHERE name = 'one'",
    ):
        with pytest.raises(pymysql.MySQLError, match="nas_certificate_has_its_name"):
            database.execute(statement)
