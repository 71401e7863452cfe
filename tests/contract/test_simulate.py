"""simulate says what a login then gets: the same attributes, the same refusals; and changes nothing."""

import random

import pytest

from freeradius_module import settings
from freeradius_module.engine.engine import Engine
from freeradius_module.rules.refusals import REFUSALS


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


# --- The whole model ----------------------------------------------------------------------------------------

# The facts that a decision depends on, with their values.  A state has one value of each.
FACTS = {
    "status": ("created", "delivered", "in_use", "exhausted", "expired", "blocked", "redeemed"),
    "kind": ("internet", "telephony"),
    "validity": ("none", "long", "over"),
    "credit": ("time", "traffic", "both", "money"),
    "used": ("nothing", "most", "all"),
    "hours": ("none", "open", "shut"),
    "bound": ("no", "free", "here", "elsewhere"),
    # Open sessions: of this device, of another one (begun or only granted), silent for too long, silent in a queue.
    "sessions": ("none", "own", "rival", "reserved", "stale", "waiting"),
    "places": (1, 2),
    "replaces": (False, True),
    "wrong_pins": (0, 4, 5),
}
# Refused before a decision: without a card, or without a proved PIN.
UNDECIDED = {"unknown_card", "wrong_pin"}


def states() -> list[dict]:
    """Each value alone beside a card that may log in, and a sample of all combinations; the same in each run."""
    usual = {name: values[0] for name, values in FACTS.items()} | {"status": "in_use"}
    alone = [usual | {name: value} for name, values in FACTS.items() for value in values]
    choice = random.Random(16)
    # Mostly usual values: otherwise nearly every state is refused for its status.
    mixed = [
        {name: choice.choice(values) if choice.random() < 0.4 else usual[name] for name, values in FACTS.items()}
        for _ in range(60)
    ]
    return alone + mixed


def put_into(state: dict, shop, database, engine):
    """A card in this state."""
    credit = {
        "time": {"credit_seconds": 6000},
        "traffic": {"credit_octets": 6_000_000},
        "both": {"credit_seconds": 6000, "credit_octets": 6_000_000},
        "money": {"credit_cents": 6000, "tariff_minute_millicents": 60_000},
    }[state["credit"]]
    noon = _zone_where_it_is_noon(shop)
    hours = {"none": {}, "open": {"allowed_hours": "Mo-Su 00:00-23:59"}, "shut": {"allowed_hours": "Mo-Su 00:00-00:01"}}
    (card,) = shop.stock(
        1,
        kind=state["kind"],
        max_sessions=state["places"],
        replace_oldest=state["replaces"],
        bind_device=state["bound"] != "no",
        timezone=noon,
        **hours[state["hours"]],
        **credit,
    )
    share = {"nothing": 0, "most": 5, "all": 6}[state["used"]] * 1000
    used = {"posted_seconds": share, "posted_down_octets": share * 1000 if "credit_octets" in credit else 0}
    ends = {"none": None, "long": "2099-01-01", "over": "2026-01-01"}[state["validity"]]
    device = {"here": LAPTOP, "elsewhere": PHONE}.get(state["bound"])
    shop.change(card, expires_at=ends, device=device, **used)
    for status in {
        "created": (),
        "exhausted": ("delivered", "in_use", "exhausted"),
        "expired": ("delivered", "expired"),
        "in_use": ("delivered", "in_use"),
        "delivered": ("delivered",),
    }.get(state["status"], ("delivered", state["status"])):
        shop.set_status(card, status)
    if state["sessions"] != "none":
        silent = {"stale": 2000, "waiting": 2000}.get(state["sessions"], 30)
        begun = state["sessions"] != "reserved"
        database.execute(
            "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, device, login_at, heard_at, due_at,"
            " due_cause, granted_seconds) SELECT %s, 1, id, %s, %s, UTC_TIMESTAMP(3) - INTERVAL %s SECOND,"
            " IF(%s, UTC_TIMESTAMP(3) - INTERVAL %s SECOND, NULL), UTC_TIMESTAMP(3) + INTERVAL 1 HOUR, 'time', 100"
            " FROM nas WHERE name = 'loopback'",
            [
                shop.id(card),
                "s1" if begun else "",
                LAPTOP if state["sessions"] == "own" else PHONE,
                silent,
                begun,
                silent,
            ],
        )
    for _ in range(state["wrong_pins"]):
        engine.record_wrong_pin({"User-Name": card.serial, "Calling-Station-Id": LAPTOP, "Tmp-String-0": "127.0.0.1"})
    return card


def comparable(lines) -> list[tuple]:
    """A reply without what a second changes: the Class, and the text where seconds are left."""
    return [
        (name, operator, "" if name == "Reply-Message" else value)
        for name, operator, value in without_class(lines)
        if name != "Session-Timeout"
    ]


def session_timeout(lines) -> int:
    return next((int(value) for name, _operator, value in lines if name == "Session-Timeout"), 0)


def test_simulate_decides_as_the_engine_does_in_every_state(office, shop, database, _unstarted_stack):
    different, seen = [], set()
    for waits in (False, True):
        # Packets wait in a queue for forty minutes, so a session that is silent for that long may be open.
        database.execute("DELETE FROM accounting_queue")
        if waits:
            database.execute(
                "INSERT INTO accounting_queue VALUES ('h', UTC_TIMESTAMP(3) - INTERVAL 40 MINUTE, UTC_TIMESTAMP(3))"
            )
        engine = Engine(settings.load(str(_unstarted_stack.option_file)))
        for state in states():
            if (state["sessions"] == "waiting") != waits:
                continue
            card = put_into(state, shop, database, engine)
            printed = office.json("simulate", card.serial, "--device", LAPTOP, "--nas", "loopback")
            answer = log_in(engine, card)
            reply = [(one["attribute"], one["operator"], one["value"]) for one in printed["reply"]]
            seen.add(printed["reason"] or printed["limited_by"])
            if (
                (printed["accepted"], printed["reason"] or printed["limited_by"]) != (answer.is_accepted, answer.reason)
                or comparable(reply) != comparable(answer.reply)
                or abs(session_timeout(reply) - session_timeout(answer.reply)) > 5
                or bool(printed["locked_out"]) != (printed["reason"] == "locked_out")
            ):
                different.append((state, printed["reason"] or printed["limited_by"], answer.reason))
    assert different == []
    assert seen >= set(REFUSALS) - UNDECIDED and seen >= {"time", "money", "longest"}


def test_a_lock_of_another_device_is_named(office, shop, engine):
    card = locked_out(shop, engine)
    printed = office.json("simulate", card.serial)
    assert printed["accepted"]
    (lock,) = printed["locked_out"]
    assert (lock["nas"], lock["device"], lock["tries"]) == ("loopback", LAPTOP, 5)
    told = office.must("simulate", card.serial)
    assert "Locked out until" in told.stderr and f"after 5 wrong PINs: device {LAPTOP} at NAS loopback" in told.stderr


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
