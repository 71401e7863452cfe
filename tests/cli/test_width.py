"""Every list and every record on a terminal of 80 and of 120 columns, in both languages: nothing is broken in the middle."""

import datetime
import re

import pytest

from admin import batch, cards, custody, nas, nat, partner, product, sessions, track, voice
from admin.shell import output
from tests.cli.test_languages import on_terminal

# A list shows these columns; a record shows all.
LISTS = {
    "batch list": batch.LISTED,
    "list": cards.LISTED,
    "nas list": nas.COLUMNS,
    "nat list": nat.COLUMNS,
    "note list": custody.NOTE_LISTED,
    "partner list": partner.LISTED,
    "product list": product.LISTED,
    "sessions": sessions.OPEN_COLUMNS,
    "sessions --anomalies": sessions.ANOMALY_COLUMNS,
    "sessions --address 10.20.30.40 --at {now}": sessions.ADDRESS_COLUMNS,
    "track {serial}": track.COLUMNS,
    "voice pending": voice.COLUMNS,
}
RECORDS = (
    "batch show {batch}",
    "key list",
    "nas show {nas}",
    "note show {note}",
    "operator list",
    "partner show {partner}",
    "product show {product}",
    "report sales",
    "report settlement",
    "report stock",
    "report usage",
    "show {serial}",
    # Of a fixed time, because each is read twice.
    "simulate {serial} --at {soon}",
    "simulate {other} --at {soon}",
)
# Columns whose values are read as one, by the end of their names.
WHOLE = {"serial", "at", "status", "cents", "seconds", "octets", "day", "kind", "ipv4", "ipv6", "prefix", "address"}
NEVER_SHOWN = {"price_cents", "closes", "reply"}
PRODUCT = "Internet de dez horas para o turista da pousada"
PARTNER = "Distribuidora de Cartões São João do Rio Vermelho Ltda."
REASON = "O lote veio da gráfica com defeito e será trocado na semana que vem"


@pytest.fixture
def day(office, database):
    """A day of the office: long names, a session with every value, a refusal, an anomaly, an address, notes."""
    office.must("product", "add", PRODUCT, "--kind", "internet", "--time", "10h", "--traffic", "2GB", "--price", "1234.56",
                "--valid-days", "30", "--commission", "12.5")  # fmt: skip
    office.must("partner", "add", PARTNER, "--document", "11.222.333/0001-81", "--contact", "Ana, 71 99999-0000")
    made = office.json("generate", "--product", PRODUCT, "--count", 12, "--prefix", "LIVRE", "--serial-digits", 9)
    serial = made["first_serial"]
    office.must("deliver", "--batch", made["batch"], "--partner", PARTNER)
    last = made["last_serial"]
    office.must("return", "--range", f"{last}-{last}", "--partner", PARTNER, "--reason", REASON)
    phone = office.product("--money", "10.00", "--tariff-minute", "0.05", kind="telephony")
    (call,) = office.sell(1, product=phone)
    office.must("redeem", call.serial, "--account", "+5571999990000", stdin=call.pin)
    office.must("edit", serial, "--note", REASON, "--expires", "2036-12-31", "--reason", REASON)
    office.must("block", last, "--reason", REASON)
    values = {"serial": serial, "session": "8f2a91c0-4b17-44d2-9d5e-0c1f", "device": "02-00-00-00-00-01"}
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM card WHERE serial = %(serial)s", values)
        values["id"] = cursor.fetchone()["id"]
        for statement in (
            "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, device, framed_ipv4, login_at, started_at,"
            " heard_at, due_at, due_cause, used_seconds, used_down_octets, granted_seconds) VALUES (%(id)s, 1, 1,"
            " %(session)s, %(device)s, '10.20.30.40', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) - INTERVAL 1 HOUR,"
            " UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 600 SECOND, 'time', 7980, 350000000, 36000)",
            "INSERT INTO session_anomaly (card_id, login_number, what, detail) VALUES"
            " (%(id)s, 1, 'octets_fell', 'from 350000000 to 1200 within an interim')",
            "INSERT INTO login_refusal (card_id, source, reason, window_at, nas_id, tries, first_at, last_at) VALUES"
            " (%(id)s, %(device)s, 'wrong_pin', UTC_TIMESTAMP(), 1, 3, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))",
        ):
            cursor.execute(statement, values)
    return {
        "serial": serial,
        "other": office.json("list", "--status", "delivered")[-1]["serial"],
        "batch": made["batch"],
        "note": office.json("note", "list")[-1]["note"],
        "nas": "loopback",
        "partner": PARTNER,
        "product": PRODUCT,
        "now": (datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "soon": (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("language", ["pt_BR", "en"])
def test_nothing_is_broken(office, day, monkeypatch, language, width):
    for command in (*LISTS, *RECORDS):
        arguments = [word.format(**day) for word in command.split()]
        shown = on_terminal(office, language, *arguments, width=width, errors_too=True)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        print(f"{language} {width} $ prepaid {' '.join(arguments)}\n{plain}")
        lines = plain.splitlines()
        _table, _hint, hidden = plain.partition("Oculto" if language == "pt_BR" else "Not shown")
        # Sentences are wrapped by the terminal.
        assert all(len(line) <= width for line in lines if not line.endswith(".")), command
        found = office.json(*arguments)
        with monkeypatch.context() as readers:
            readers.setenv("LANGUAGE", language)
            rows = found if isinstance(found, list) else [found]
            nested = [
                part for row in rows for name, value in row.items() if name in ("events", "prices") for part in value
            ]
            for row in (*rows, *nested):
                for name, value in row.items():
                    if not is_shown(command, name, value) or output.title(name) in hidden.replace("\n", " "):
                        continue
                    text = formatted(name, value)
                    assert any(re.search(rf"(?<!\S){re.escape(text)}(?!\S)", line) for line in lines), (
                        command,
                        name,
                        text,
                    )


def is_shown(command, name, value) -> bool:
    return (
        value is not None
        and not isinstance(value, bool)
        and name.rpartition("_")[2] in WHOLE
        and name in LISTS.get(command, [name])
        and not (command.startswith("report") and name != "day" and not value)
    )


def formatted(name, value) -> str:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\S+Z", value):
        value = datetime.datetime.fromisoformat(value.removesuffix("Z"))
    elif name == "day":
        value = datetime.date.fromisoformat(value)
    return output.formatted(name, value).replace("\N{NO-BREAK SPACE}", " ")


def test_a_narrow_table_says_what_it_hides(office, day):
    shown = on_terminal(office, "en", "batch", "list", width=60, errors_too=True)
    assert "last serial" not in shown.splitlines()[0]
    said = " ".join(shown.partition("Not shown")[2].split())
    assert "last serial" in said and said.endswith("A wider terminal shows more, --json all.")
    assert "Not shown" not in on_terminal(office, "en", "batch", "list", errors_too=True)


def test_what_must_not_be_hidden_becomes_a_record(office, day):
    """The answer about an address goes to a court: every value of it is shown, however narrow the terminal is."""
    shown = on_terminal(office, "en", "sessions", "--address", "10.20.30.40", "--at", day["now"], width=50)
    assert re.search(rf"^serial +{day['serial']}$", shown, re.MULTILINE)
    assert re.search(r"^device +02-00-00-00-00-01$", shown, re.MULTILINE)


def test_a_batch_is_shown_to_people_without_json(office, tmp_path):
    (card,) = office.stock(1, "--time", "10m")
    shown = on_terminal(office, "pt_BR", "batch", "show", card.batch, width=120)
    assert "{" not in shown and re.search(r"Exportado .*csv: serial, pin; SHA-256 [0-9a-f]{12}…", shown)
    detail = office.json("batch", "show", card.batch)["events"][-1]["detail"]
    assert '"sha256": "' in detail, "a program gets the whole checksum"
