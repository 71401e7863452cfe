"""What the module keeps of products and NAS, and when it reads them again."""

import pytest

from freeradius_module.connection import Connection, DatabaseAway
from freeradius_module.engine import catalogue as catalogue_module
from freeradius_module.engine.catalogue import Catalogue, UnknownCertificate


@pytest.fixture
def catalogue(module_settings):
    return Catalogue(Connection(module_settings))


def some_seconds_later(catalogue):
    catalogue._next_refresh = 0.0


def test_the_longest_network_serves_an_address(shop, catalogue, database):
    mikrotik = shop.nas("mikrotik")
    database.execute(
        "INSERT INTO nas (name, address, secret_sealed, key_number, vendor)"
        " VALUES ('net', '10.0.0.0/8', 'x', 1, 'chilli'), ('subnet', '10.1.0.0/16', 'x', 1, 'cisco'),"
        " ('six', '2001:db8::/32', 'x', 1, 'huawei')"
    )
    vendors = {
        address: catalogue.nas(address).vendor
        for address in (mikrotik, "127.0.0.1", "10.2.0.1", "10.1.0.1", "2001:db8::7")
    }
    assert list(vendors.values()) == ["mikrotik", "generic", "chilli", "cisco", "huawei"]


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db9::1", "", "no address", "127.0.0.1/32"])
def test_an_address_that_no_row_covers_has_no_nas(shop, catalogue, address):
    assert catalogue.nas(address) is None


def test_forged_addresses_fill_no_memory(shop, catalogue, monkeypatch):
    monkeypatch.setattr(catalogue_module, "ADDRESSES_MOST", 100)
    mikrotik = shop.nas("mikrotik")
    for number in range(1000):
        catalogue.nas(f"192.0.2.{number}")
        assert catalogue.nas(mikrotik).vendor == "mikrotik"
    assert len(catalogue._nas) <= 100


def test_a_nas_that_is_added_changed_or_removed_is_noticed(shop, catalogue, database):
    address = shop.nas("mikrotik")
    assert catalogue.nas(address).vendor == "mikrotik"
    database.execute("UPDATE nas SET vendor = 'cisco' WHERE address = %s", [f"{address}/32"])
    assert catalogue.nas(address).vendor == "mikrotik"
    some_seconds_later(catalogue)
    assert catalogue.nas(address).vendor == "cisco"
    database.execute("DELETE FROM nas WHERE address = %s", [f"{address}/32"])
    some_seconds_later(catalogue)
    assert catalogue.nas(address).name == "loopback"


def test_what_was_read_is_kept_while_the_database_is_away(shop, catalogue, module_settings):
    address = shop.nas("mikrotik")
    assert catalogue.nas(address).vendor == "mikrotik"
    catalogue._connection = Connection(module_settings._replace(unix_socket="/nowhere"))
    some_seconds_later(catalogue)
    assert catalogue.nas(address).vendor == "mikrotik"
    assert catalogue.nas("192.0.2.1") is None


def test_before_anything_was_read_no_nas_is_called_unlisted(shop, module_settings):
    catalogue = Catalogue(Connection(module_settings._replace(unix_socket="/nowhere")))
    with pytest.raises(DatabaseAway):
        catalogue.nas("127.0.0.1")


def test_a_product_is_read_once_for_each_revision(shop, catalogue, database):
    product = shop.product(credit_seconds=600, idle_seconds=60)
    assert catalogue.product(product, 1).terms.idle_seconds == 60
    database.execute("UPDATE product SET idle_seconds = 90 WHERE id = %s", [product])
    assert catalogue.product(product, 1).terms.idle_seconds == 60
    assert catalogue.product(product, 2).terms.idle_seconds == 90


def test_a_products_columns_become_its_rules(shop, catalogue, database):
    number = shop.product(
        credit_seconds=600,
        credit_octets=1000,
        credit_cents=500,
        tariff_minute_millicents=5000,
        tariff_mb_millicents=10,
        speed_down_kbit=2000,
        speed_up_kbit=500,
        fup_share_percent=80,
        fup_down_kbit=200,
        fup_up_kbit=100,
        idle_seconds=120,
        interim_seconds=60,
        allowed_hours="Mo-Fr 08:00-18:00",
        timezone="America/Sao_Paulo",
        max_sessions=2,
        replace_oldest=True,
        bind_device=True,
    )
    database.execute(
        "INSERT INTO product_reply VALUES (%s, 2, 'Filter-Id', ':=', 'b'), (%s, 1, 'Class', '+=', '0x0a')",
        [number, number],
    )
    product = catalogue.product(number, 1)
    assert product.credit == (600, 1000, None, None, 500_000)
    assert product.tariff == (5000, 10)
    assert (product.terms.speed_down_kbit, product.terms.speed_up_kbit) == (2000, 500)
    assert (product.terms.idle_seconds, product.terms.interim_seconds) == (120, 60)
    assert product.terms.extra == (("Class", "+=", "0x0a"), ("Filter-Id", ":=", "b"))
    assert (product.fup_octets, product.fup_terms.speed_down_kbit, product.fup_terms.reduced) == (800, 200, True)
    assert (product.timezone, product.max_sessions, product.replace_oldest, product.bind_device) == (
        "America/Sao_Paulo",
        2,
        True,
        True,
    )


def test_a_nas_over_tls_is_found_by_the_name_of_its_certificate(shop, catalogue, database):
    database.execute(
        "INSERT INTO nas (name, address, secret_sealed, key_number, vendor) VALUES ('beach', 'tls:beach', 'x', 1, 'cisco'),"
        " ('everywhere', '0.0.0.0/0', 'x', 1, 'huawei')"
    )
    assert catalogue.nas("tls:beach").vendor == catalogue.nas_of("tls:beach").vendor == "cisco"
    assert catalogue.nas_names().items() >= {(catalogue.nas("tls:beach").id, "beach")}
    for name in ("Beach", "", "loopback", "unlisted"):
        assert catalogue.nas(f"tls:{name}") is None
        with pytest.raises(UnknownCertificate, match=name or r"\(none\)"):
            catalogue.nas_of(f"tls:{name}")
    assert catalogue.nas_of("192.0.2.1").name == "everywhere"
    database.execute("DELETE FROM nas WHERE name IN ('beach', 'everywhere')")
    some_seconds_later(catalogue)
    assert catalogue.nas("tls:beach") is None and catalogue.nas_of("192.0.2.1").name == "unlisted"


def test_a_nas_over_tls_is_served_although_others_were_read_a_moment_ago(shop, catalogue, database):
    """Another process may have accepted its login; the report of that session must not go to the quarantine."""
    catalogue.nas("192.0.2.1")
    catalogue._look_again_at = 0.0  # A second later; the next reading is due in five.
    database.execute(
        "INSERT INTO nas (name, address, secret_sealed, key_number, vendor) VALUES ('new', 'tls:new', 'x', 1, 'cisco')"
    )
    assert catalogue.nas_of("tls:new").name == "new"
    # Whoever has a certificate that is no NAS' does not make every packet a reading.
    with pytest.raises(UnknownCertificate):
        catalogue.nas_of("tls:stranger")
    due = catalogue._next_refresh
    with pytest.raises(UnknownCertificate):
        catalogue.nas_of("tls:stranger")
    assert catalogue._next_refresh == due
