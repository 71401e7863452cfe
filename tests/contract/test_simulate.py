"""simulate says what a login then gets: the same attributes, the same refusals; and changes nothing."""

import pytest

from freeradius_module import settings
from freeradius_module.engine.engine import Engine
from tests.shop import Shop


@pytest.fixture
def shop(database, _unstarted_stack):
    return Shop(database, _unstarted_stack.key_file)


@pytest.fixture
def engine(database, _unstarted_stack):
    return Engine(settings.load(str(_unstarted_stack.option_file)))


LAPTOP = "02-00-00-00-00-01"
PHONE = "02-00-00-00-00-02"


def log_in(engine, card, device=LAPTOP, address="127.0.0.1"):
    return engine.admit({"User-Name": card.serial, "Calling-Station-Id": device, "Tmp-String-0": address})


def without_class(lines):
    """A Class is of one login: it says its time."""
    return [tuple(line) for line in lines if line[0] != "Class"]


def simulated(office, card, *options):
    printed = office.json("simulate", card.serial, "--device", LAPTOP, *options)
    return printed, without_class([(one["attribute"], one["operator"], one["value"]) for one in printed["reply"]])


@pytest.mark.parametrize(
    "vendor", ["generic", "mikrotik", "chilli", "cisco", "huawei", "juniper", "ubiquiti", "pfsense"]
)
def test_the_reply_is_the_one_that_a_login_gets(office, shop, engine, vendor):
    address = shop.nas(vendor)
    (card,) = shop.sell(
        1,
        credit_seconds=600,
        credit_octets=5 * 2**30,
        speed_down_kbit=10240,
        speed_up_kbit=2048,
        fup_share_percent=80,
        fup_down_kbit=512,
        fup_up_kbit=128,
        valid_days=30,
        idle_seconds=60,
    )
    printed, reply = simulated(office, card, "--nas", f"NAS {address}")
    assert printed["accepted"] and printed["limited_by"] == "time" and printed["session_seconds"] == 600
    assert reply == without_class(log_in(engine, card, address=address).reply)


def test_nothing_is_changed(office, shop, database):
    (card,) = shop.sell(1)
    before = shop.card(card), office.track(card)
    office.must("simulate", card.serial)
    assert (shop.card(card), office.track(card)) == before
    assert shop.sessions(card) == [] and shop.refusals(card) == {}


def test_a_card_past_its_share_is_slowed_down(office, shop, engine):
    (card,) = shop.sell(1, credit_octets=1_000_000, fup_share_percent=50, fup_down_kbit=512, speed_down_kbit=10240)
    shop.change(card, posted_down_octets=600_000)
    printed, reply = simulated(office, card)
    assert printed["slowed_down"] and printed["limited_by"] == "longest"
    assert reply == without_class(log_in(engine, card).reply)


# Each function makes a card that is refused for one reason.
def created(shop, _engine):
    return shop.stock(1)[0]


def blocked(shop, _engine):
    (card,) = shop.sell(1)
    shop.set_status(card, "blocked")
    return card


def telephony(shop, _engine):
    return shop.sell(1, kind="telephony", credit_seconds=600)[0]


def expired(shop, _engine):
    (card,) = shop.sell(1)
    shop.change(card, expires_at="2026-01-01")
    return card


def exhausted(shop, _engine):
    (card,) = shop.sell(1)
    shop.change(card, posted_seconds=600)
    return card


def closed(shop, _engine):
    return shop.sell(1, allowed_hours="Mo-Su 00:00-00:01", timezone=_zone_where_it_is_noon(shop))[0]


def others(shop, engine):
    (card,) = shop.sell(1, bind_device=True)
    shop.change(card, device=PHONE)
    return card


def full(shop, engine):
    (card,) = shop.sell(1)
    assert log_in(engine, card, PHONE).is_accepted
    return card


def locked_out(shop, engine):
    (card,) = shop.sell(1)
    for _ in range(5):
        engine.record_wrong_pin({"User-Name": card.serial, "Calling-Station-Id": LAPTOP, "Tmp-String-0": "127.0.0.1"})
    return card


def _zone_where_it_is_noon(shop):
    hour = shop.database.value("SELECT HOUR(UTC_TIMESTAMP())")
    # POSIX has it the other way round: Etc/GMT-5 is five hours east.
    ahead = (12 - hour) % 24
    return f"Etc/GMT-{ahead}" if ahead <= 12 else f"Etc/GMT+{24 - ahead}"


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (created, "not_delivered"),
        (blocked, "blocked"),
        (telephony, "wrong_kind"),
        (expired, "expired"),
        (exhausted, "exhausted"),
        (closed, "outside_hours"),
        (others, "wrong_device"),
        (full, "too_many_sessions"),
        (locked_out, "locked_out"),
    ],
)
def test_a_refusal_is_the_one_that_a_login_gets(office, shop, engine, prepare, reason):
    card = prepare(shop, engine)
    printed, reply = simulated(office, card, "--nas", "loopback")
    answer = log_in(engine, card)
    assert (printed["accepted"], printed["reason"]) == (False, reason) == (answer.is_accepted, answer.reason)
    assert reply == list(answer.reply)
    assert printed["sentence"].endswith(".")


def test_an_unknown_serial(office, shop):
    (card,) = shop.sell(1)
    wrong = card.serial[:-1] + str((int(card.serial[-1]) + 1) % 10)
    result = office.run("simulate", wrong, "--json")
    assert result.exit_status == 0 and result.json()["reason"] == "unknown_card"
    assert f"Did you mean {card.serial}" in result.stderr


# --- At another time --------------------------------------------------------------------------------------


def test_the_clock_of_the_question_decides(office, shop):
    (card,) = shop.sell(1, allowed_hours="Mo-Fr 08:00-18:00", timezone="America/Sao_Paulo", credit_seconds=36000)
    printed, _ = simulated(office, card, "--at", "2027-03-01T17:00-03:00")  # a Monday
    assert (printed["session_seconds"], printed["limited_by"], printed["ends_at"]) == (
        3600,
        "hours",
        "2027-03-01T21:00:00.000Z",
    )
    printed, _ = simulated(office, card, "--at", "2027-03-06T12:00-03:00")  # a Saturday
    assert printed["reason"] == "outside_hours"


def test_validity_counts_from_the_time_of_the_question(office, shop, database):
    (card,) = shop.sell(1, credit_seconds=360_000)
    shop.change(card, expires_at="2027-01-01 12:00:00")
    printed, _ = simulated(office, card, "--at", "2027-01-01T11:59Z")
    assert (printed["session_seconds"], printed["limited_by"]) == (60, "validity")
    assert simulated(office, card, "--at", "2027-01-01T12:00Z")[0]["reason"] == "expired"
    # The clock is the database's own again afterwards.
    assert simulated(office, card)[0]["accepted"]


def test_the_bound_device_is_taken_for_granted(office, shop):
    (card,) = shop.sell(1, bind_device=True)
    shop.change(card, device=PHONE)
    assert office.json("simulate", card.serial)["device"] == PHONE
    assert office.json("simulate", card.serial)["accepted"]


def test_people_read_lines(office, shop):
    (card,) = shop.sell(1)
    text = office.must("simulate", card.serial).stdout
    assert "Session-Timeout := 600" in text
    assert "\tblocked" not in text and "replaces" not in text
    shop.set_status(card, "blocked")
    assert "reason\tblocked" in office.must("simulate", card.serial).stdout


@pytest.mark.parametrize("options", [("--nas", "nowhere"), ("--at", "noon")])
def test_a_wrong_option_is_named(office, shop, options):
    (card,) = shop.sell(1)
    result = office.run("simulate", card.serial, *options)
    assert result.exit_status in (1, 2) and options[1] in result.stderr
