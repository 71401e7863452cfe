"""Logins at a real radiusd: who is let in, with which limits, and what the others are told."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.database import without_triggers

PHONE, LAPTOP = "02-00-00-00-00-01", "02-00-00-00-00-02"

# --- The proof of the PIN --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["pap", "chap", "mschap", "mschap2"])
def test_a_card_logs_in_by_every_method(shop, radius, method):
    (card,) = shop.sell(1, credit_seconds=600)
    accept = radius.login(card.serial, card.pin, method=method)
    assert accept.is_accept and accept["Session-Timeout"] == 600


@pytest.mark.parametrize("method", ["pap", "chap", "mschap", "mschap2"])
def test_an_accept_says_the_serial_that_is_charged(shop, radius, method):
    (card,) = shop.sell(1)
    assert radius.login(f"{card.serial[:4]} {card.serial[4:]}", card.pin, method=method)["User-Name"] == card.serial


@pytest.mark.parametrize("method", ["pap", "chap", "mschap", "mschap2"])
def test_a_wrong_pin_is_refused_by_every_method_and_writes_nothing_to_the_card(shop, radius, method):
    (card,) = shop.sell(1)
    assert radius.login(card.serial, card.pin[::-1] + "1", method=method).is_reject
    assert (shop.status(card), shop.sessions(card)) == ("delivered", [])
    assert shop.refusals(card) == {"wrong_pin": 1}


def test_a_stranger_cannot_tell_a_wrong_pin_from_an_unknown_card(shop, radius):
    (card,) = shop.sell(1)
    wrong = radius.login(card.serial, "0000000000")
    unknown = radius.login("999999999999", "0000000000")
    assert wrong.is_reject and wrong.attributes.keys() == unknown.attributes.keys()
    assert wrong["Reply-Message"] == unknown["Reply-Message"]


@pytest.mark.parametrize("status", ["created", "blocked", "exhausted", "expired"])
def test_a_stranger_learns_nothing_of_a_cards_state(shop, radius, status):
    (card,) = shop.sell(1)
    for step in {
        "created": ["created"],
        "blocked": ["blocked"],
        "exhausted": ["in_use", "exhausted"],
        "expired": ["expired"],
    }[status]:
        shop.set_status(card, step)
    refused = radius.login(card.serial, "0000000000")
    assert refused["Reply-Message"] == radius.login("999999999999", "0000000000")["Reply-Message"]
    assert shop.refusals(card) == {"wrong_pin": 1}


def test_a_serial_may_be_typed_with_blanks_and_hyphens(shop, radius):
    (card,) = shop.sell(1)
    assert radius.login(f" {card.serial[:4]}-{card.serial[4:]} ", card.pin).is_accept


# --- Refusals --------------------------------------------------------------------------------------------


def _created(shop):
    return shop.stock(1)[0]


def _returned(shop):
    (card,) = shop.sell(1)
    shop.set_status(card, "created")
    return card


def _blocked(shop):
    (card,) = shop.sell(1)
    shop.set_status(card, "blocked")
    return card


def _telephony(shop):
    return shop.sell(1, kind="telephony", credit_cents=1000)[0]


def _expired(shop):
    (card,) = shop.sell(1)
    shop.change(card, expires_at="2020-01-01")
    return card


def _past_the_products_last_day(shop):
    return shop.sell(1, valid_until_at="2020-01-01")[0]


def _exhausted(shop):
    (card,) = shop.sell(1)
    shop.set_status(card, "in_use")
    shop.set_status(card, "exhausted")
    return card


def _used_up_by_an_entry(shop):
    (card,) = shop.sell(1, credit_seconds=600)
    shop.add_credit(card, added_seconds=-600)
    return card


def _outside_hours(shop):
    # An hour that is now at no place on earth where this test could run: none of the week but one minute.
    now = shop.database.value("SELECT WEEKDAY(UTC_TIMESTAMP() + INTERVAL 2 DAY)")
    day = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"][now]
    return shop.sell(1, allowed_hours=f"{day} 12:00-12:01")[0]


def _of_another_device(shop):
    (card,) = shop.sell(1, bind_device=True)
    shop.change(card, device=LAPTOP)
    return card


REFUSED = {
    "created": (_created, "not_delivered"),
    "returned": (_returned, "not_delivered"),
    "blocked": (_blocked, "blocked"),
    "telephony": (_telephony, "wrong_kind"),
    "expired": (_expired, "expired"),
    "past its product's last day": (_past_the_products_last_day, "expired"),
    "exhausted": (_exhausted, "exhausted"),
    "used up by an entry": (_used_up_by_an_entry, "exhausted"),
    "outside its hours": (_outside_hours, "outside_hours"),
    "another device's": (_of_another_device, "wrong_device"),
}


@pytest.mark.parametrize(("make", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_who_has_proved_the_pin_is_told_why_and_so_is_the_office(shop, radius, stack, wait_until, make, reason):
    card = make(shop)
    refused = radius.login(card.serial, card.pin, calling_station_id=PHONE)
    assert refused.is_reject
    assert refused["Reply-Message"] != radius.login("999999999999", "0")["Reply-Message"]
    assert shop.refusals(card) == {reason: 1}
    assert shop.sessions(card) == []
    wait_until(lambda: f"login of {card.serial}: {reason}" in stack.freeradius.log_since_mark())


def test_a_deleted_card_is_an_unknown_one(shop, radius):
    (card,) = shop.stock(1)
    shop.change(card, status="deleted", pin_sealed="")
    refused = radius.login(card.serial, card.pin)
    assert refused.is_reject
    assert refused["Reply-Message"] == radius.login("999999999999", "0")["Reply-Message"]
    assert shop.refusals(card) == {}


def test_a_card_that_was_returned_and_delivered_again_works(shop, radius):
    (card,) = shop.sell(1)
    shop.set_status(card, "created")
    assert radius.login(card.serial, card.pin).is_reject
    shop.set_status(card, "delivered")
    assert radius.login(card.serial, card.pin).is_accept


def test_a_blocked_card_works_again_when_it_is_unblocked(shop, radius):
    (card,) = shop.sell(1)
    shop.set_status(card, "blocked")
    assert radius.login(card.serial, card.pin).is_reject
    shop.set_status(card, "delivered")
    assert radius.login(card.serial, card.pin).is_accept


def test_a_card_that_turns_out_to_be_expired_becomes_expired(shop, radius):
    (card,) = shop.sell(1)
    shop.change(card, expires_at="2020-01-01")
    radius.login(card.serial, card.pin)
    assert shop.status(card) == "expired"


def test_a_card_that_turns_out_to_be_used_up_becomes_exhausted(shop, radius):
    """Usage that reached the card by no session of its own grant: an entry took credit away."""
    (card,) = shop.sell(1, credit_seconds=600)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    radius.stop(session, 120)
    shop.add_credit(card, added_seconds=-480)
    assert radius.login(card.serial, card.pin).is_reject
    assert shop.status(card) == "exhausted"


# --- Wrong PINs ------------------------------------------------------------------------------------------


def test_too_many_wrong_pins_lock_their_source_out_and_no_other(shop, radius):
    (card,) = shop.sell(1)
    for _ in range(5):
        radius.login(card.serial, "0000000000", calling_station_id=LAPTOP)
    assert radius.login(card.serial, card.pin, calling_station_id=LAPTOP).is_reject
    assert shop.refusals(card) == {"wrong_pin": 5, "locked_out": 1}
    # Who has paid, from where nobody has guessed, is let in.
    assert radius.login(card.serial, card.pin, calling_station_id=PHONE).is_accept


def test_a_thousand_tries_of_strangers_on_a_range_of_serials_lock_nobody_out(shop, radius):
    cards = shop.sell(20)
    with ThreadPoolExecutor(8) as strangers:
        replies = list(
            strangers.map(
                lambda number: radius.login(
                    cards[number % 20].serial,
                    f"{number:010}",
                    calling_station_id=f"02-00-00-00-{number % 50 // 5:02X}-FF",
                ),
                range(1000),
            )
        )
    assert not any(reply.is_accept for reply in replies)
    for card in cards:
        assert radius.login(card.serial, card.pin, calling_station_id=PHONE).is_accept


def test_the_customers_own_device_gets_in_while_strangers_try(shop, radius):
    (card,) = shop.sell(1, credit_seconds=3600)
    assert radius.login(card.serial, card.pin, calling_station_id=PHONE).is_accept
    for number in range(20):
        radius.login(card.serial, "0000000000", calling_station_id=LAPTOP)
        # Somebody who pretends to be that device, too.
        if number % 2:
            radius.login(card.serial, "0000000000", calling_station_id=PHONE)
        shop.age(card, 2)
        assert radius.login(card.serial, card.pin, calling_station_id=PHONE).is_accept


def test_a_lock_ends_with_its_quarter_of_an_hour(shop, radius, database):
    (card,) = shop.sell(1)
    for _ in range(5):
        radius.login(card.serial, "0000000000")
    with without_triggers(database) as cursor:
        cursor.execute("UPDATE login_refusal SET window_at = window_at - INTERVAL 15 MINUTE")
        cursor.connection.commit()
    assert radius.login(card.serial, card.pin).is_accept


def test_no_pin_is_ever_logged(shop, radius, stack):
    (card,) = shop.sell(1)
    for method in ("pap", "chap", "mschap2"):
        radius.login(card.serial, card.pin, method=method)
        radius.login(card.serial, "8675309123", method=method)
    written = "".join(
        path.read_text(errors="replace") for path in stack.freeradius.log_file.parent.rglob("*") if path.is_file()
    )
    assert card.serial in written
    assert card.pin not in written and "8675309123" not in written


# --- Limits ----------------------------------------------------------------------------------------------


def test_the_first_login_puts_a_card_to_use(shop, radius):
    (card,) = shop.sell(1, credit_seconds=600, valid_days=30)
    assert radius.login(card.serial, card.pin).is_accept
    row = shop.card(card)
    assert row["status"] == "in_use"
    assert (row["expires_at"] - row["first_login_at"]).days == 30
    events = shop.database.query(
        "SELECT from_status, to_status FROM card_event WHERE card_id = %s ORDER BY id", [row["id"]]
    )
    assert [event["to_status"] for event in events] == ["delivered", "in_use"]


def test_a_later_login_does_not_move_the_end_of_validity(shop, radius):
    (card,) = shop.sell(1, valid_days=30)
    radius.login(card.serial, card.pin)
    shop.change(card, expires_at="2096-01-01")
    shop.age(card, 61)
    assert radius.login(card.serial, card.pin).is_accept
    assert shop.card(card)["expires_at"].year == 2096


@pytest.mark.parametrize(
    ("columns", "seconds"),
    [
        ({"credit_seconds": 600}, 600),
        ({"credit_seconds": 100_000}, 86_400),
        ({"credit_octets": 10**7}, 86_400),
        ({"credit_cents": 500, "tariff_minute_millicents": 5000}, 6000),
        ({"credit_seconds": 600, "credit_cents": 10, "tariff_minute_millicents": 5000}, 120),
    ],
)
def test_every_accept_carries_the_time_that_there_is(shop, radius, columns, seconds):
    (card,) = shop.sell(1, **columns)
    assert radius.login(card.serial, card.pin)["Session-Timeout"] == seconds


def test_the_end_of_validity_limits_a_session(shop, radius):
    (card,) = shop.sell(1, credit_seconds=36_000)
    shop.database.execute(
        "UPDATE card SET expires_at = UTC_TIMESTAMP(3) + INTERVAL 1 HOUR WHERE serial = %s", [card.serial]
    )
    assert 3500 < radius.login(card.serial, card.pin)["Session-Timeout"] <= 3600


def test_credit_that_was_added_is_granted(shop, radius):
    (card,) = shop.sell(1, credit_seconds=600)
    shop.add_credit(card, added_seconds=300)
    assert radius.login(card.serial, card.pin)["Session-Timeout"] == 900


FIVE_GB = 5_000_000_000


def test_volumes_and_speeds_are_said_in_the_words_of_the_nas_vendor(shop, radius, known_nas):
    generic, chilli, mikrotik = known_nas("generic", "chilli", "mikrotik")
    total = shop.sell(3, credit_octets=FIVE_GB, speed_down_kbit=2000, speed_up_kbit=500)
    apart = shop.sell(3, credit_down_octets=FIVE_GB, credit_up_octets=10**6)
    replies = [
        radius.login(card.serial, card.pin, nas_ip=nas)
        for cards in (total, apart)
        for card, nas in zip(cards, (generic, chilli, mikrotik), strict=True)
    ]

    on_generic, on_chilli, on_mikrotik, _, apart_on_chilli, apart_on_mikrotik = replies
    assert (on_generic["WISPr-Bandwidth-Max-Down"], on_generic["WISPr-Bandwidth-Max-Up"]) == (2_000_000, 500_000)
    assert on_chilli["ChilliSpot-Max-Total-Gigawords"] * 2**32 + on_chilli["ChilliSpot-Max-Total-Octets"] == FIVE_GB
    assert (
        apart_on_chilli["ChilliSpot-Max-Output-Gigawords"] * 2**32 + apart_on_chilli["ChilliSpot-Max-Output-Octets"]
        == FIVE_GB
    )
    assert apart_on_chilli["ChilliSpot-Max-Input-Octets"] == 10**6
    assert on_mikrotik["Mikrotik-Total-Limit-Gigawords"] * 2**32 + on_mikrotik["Mikrotik-Total-Limit"] == FIVE_GB
    assert on_mikrotik["Mikrotik-Rate-Limit"] == "500k/2000k"
    # Of a MikroTik, transmitted is what the customer receives.
    assert (
        apart_on_mikrotik["Mikrotik-Xmit-Limit-Gigawords"] * 2**32 + apart_on_mikrotik["Mikrotik-Xmit-Limit"] == FIVE_GB
    )
    assert apart_on_mikrotik["Mikrotik-Recv-Limit"] == 10**6
    for reply in replies:
        assert reply.is_accept and reply["Session-Timeout"] == 86_400 and reply["Acct-Interim-Interval"] == 300


def test_a_card_past_its_fair_use_logs_in_at_the_reduced_speed(shop, radius, known_nas):
    generic, mikrotik = known_nas("generic", "mikrotik")
    (card,) = shop.sell(
        1,
        credit_octets=10**9,
        speed_down_kbit=2000,
        speed_up_kbit=500,
        fup_share_percent=80,
        fup_down_kbit=256,
        fup_up_kbit=128,
    )
    for used, on_generic, on_mikrotik in ((799_999_999, 2_000_000, "500k/2000k"), (1, 256_000, "128k/256k")):
        accept = radius.login(card.serial, card.pin, nas_ip=generic)
        radius.stop(radius.session(card.serial, accept, nas_ip=generic), 60, down_octets=used)
        accept = radius.login(card.serial, card.pin, nas_ip=generic)
        assert accept["WISPr-Bandwidth-Max-Down"] == on_generic
        radius.stop(radius.session(card.serial, accept, nas_ip=generic), 1)
        accept = radius.login(card.serial, card.pin, nas_ip=mikrotik)
        assert accept["Mikrotik-Rate-Limit"] == on_mikrotik
        radius.stop(radius.session(card.serial, accept, nas_ip=mikrotik), 1)


def test_a_products_own_attributes_are_sent(shop, radius, database):
    product = shop.product(credit_seconds=600)
    database.execute("INSERT INTO product_reply VALUES (%s, 1, 'Filter-Id', ':=', 'guests')", [product])
    (card,) = shop.sell(1, product=product)
    assert radius.login(card.serial, card.pin)["Filter-Id"] == "guests"


def test_a_changed_product_is_read_anew_at_the_next_login(shop, radius, database):
    product = shop.product(credit_seconds=600, idle_seconds=60)
    one, two = shop.sell(2, product=product)
    assert radius.login(one.serial, one.pin)["Idle-Timeout"] == 60
    database.execute("UPDATE product SET idle_seconds = 90 WHERE id = %s", [product])
    assert radius.login(two.serial, two.pin)["Idle-Timeout"] == 90


def test_a_device_is_bound_by_its_first_login(shop, radius):
    (card,) = shop.sell(1, bind_device=True)
    assert radius.login(card.serial, card.pin, calling_station_id=PHONE).is_accept
    assert shop.card(card)["device"] == PHONE
    assert radius.login(card.serial, card.pin, calling_station_id=LAPTOP).is_reject
    assert shop.refusals(card) == {"wrong_device": 1}


# --- Hostile names ---------------------------------------------------------------------------------------

HOSTILE = {
    "SQL": b"' OR '1'='1' -- ",
    "SQL that ends a statement": b"4000'; DROP TABLE card; --",
    "a backslash": b"4000\\",
    "a percent sign": b"%s%(serial)s%",
    "what FreeRADIUS expands": b"%{User-Password}`id`",
    "NUL": b"4000\x00017",
    "a line break": b"4000\nlogin of 1: accepted",
    "not UTF-8": b"caf\xe9",
    "a surrogate": b"\xed\xa0\x80",
    "longest": b"9" * 253,
    "longest, of two octets a sign": "é".encode() * 126,
    "four octets a sign": "\U0001f4b3".encode() * 8,
    "blanks": b"   ",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_name_is_refused_and_nothing_else_happens(shop, radius, stack, name):
    (card,) = shop.sell(1)
    assert radius.login(name, "0000000000").is_reject
    assert radius.login(name, "0000000000", method="chap").is_reject
    assert shop.database.query("SELECT * FROM login_refusal") == []
    assert "accepted" not in stack.freeradius.log_since_mark()
    assert radius.login(card.serial, card.pin).is_accept


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_accounting_of_a_hostile_name_is_acknowledged_and_charged_to_nobody(shop, radius, name):
    """Acknowledged, because a NAS repeats for ever what is not."""
    (card,) = shop.sell(1)
    assert radius.stop(radius.session(name), 600).is_acknowledged
    assert shop.database.query("SELECT * FROM session") == []
    assert shop.used(card) == (0, 0, 0)


@pytest.mark.parametrize("pin_typed", ["", "' OR 1=1 --", "0" * 128, "\u0000", "é" * 60])
def test_a_hostile_pin_is_a_wrong_one(shop, radius, pin_typed):
    (card,) = shop.sell(1)
    assert radius.login(card.serial, pin_typed).is_reject
    assert shop.refusals(card) == {"wrong_pin": 1}


@pytest.mark.parametrize("device", ["'; DELETE FROM session; --", "x" * 253, "\U0001f4f1" * 60, "%s"])
def test_a_hostile_device_is_only_a_name(shop, radius, device):
    (card,) = shop.sell(1)
    accept = radius.login(card.serial, card.pin, calling_station_id=device)
    assert accept.is_accept
    assert radius.stop(radius.session(card.serial, accept, calling_station_id=device), 60).is_acknowledged
    assert shop.used(card) == (60, 0, 0)


def test_a_locked_out_guesser_cannot_tell_when_he_has_guessed_right(shop, radius):
    (card,) = shop.sell(1)
    for _ in range(5):
        radius.login(card.serial, "0000000000")
    wrong, right = (radius.login(card.serial, pin) for pin in ("0000000000", card.pin))
    assert right.is_reject and right["Reply-Message"] == wrong["Reply-Message"]


@pytest.mark.parametrize("method", ["pap", "chap", "mschap", "mschap2"])
def test_a_login_through_a_proxy_gets_its_state_back(office, radius, method):
    """RFC 2865, 5.33.  FreeRADIUS itself copies Proxy-State into the reply, in which the guard counts the attributes."""
    for card, states in zip(office.sell(3, "--time", "10m"), ([], [b"a"], [b"a", b"b"]), strict=True):
        reply = radius.login(card.serial, card.pin, method=method, attributes={"Proxy-State": states})
        assert reply.is_accept and reply["Session-Timeout"] == 600
        assert reply.attributes.get("Proxy-State", []) == states
