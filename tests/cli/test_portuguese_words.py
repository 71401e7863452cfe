"""Every word on a Portuguese screen, page and paper is a word of the catalogue, a name of the data, or a name of a technique."""

import html
import re
import shlex
import unicodedata

import openpyxl
import pdfplumber
import pytest
from babel.messages import pofile

from freeradius_module.rules.refusals import REFUSALS
from tests.cli.test_languages import PORTUGUESE, on_terminal

# The data of these tests, and what has the same name in every language.
NAMES = """
    dez horas banca do norte balcão chuva troca achado roubado hotspot centro voz loopback ana
    prepaid cards mikrotik generic unlisted internet localhost root
    off ontem default dictionary freerad kbit mib gib kwh min
    mariadb freeradius radius raddb nas pin pdf csv xlsx html utc tcp udp ipv sql ssl cnpj
    restam válido por
    """
# Beside the words themselves: serials, hexadecimal numbers, files and addresses are no words.
NO_WORD = re.compile(
    r"503 [\w-]+|\S*[/\\@]\S*|\S*\d\S*|--[a-z-]+|Uso: prepaid[a-z ]*|'prepaid [^']*'|prepaid_admin|[a-z_]+ = "
    r"|\x1b\[[0-9;]*m|#\w+|[A-Z][A-Za-z]+(?:-[A-Z][A-Za-z]+)+ :?=[^\n]*"
)
# Fixed words that have a translation must not be shown, although the help of some options names them.
CONTEXTS = ("word", "check", "role")
WORD = re.compile(r"[^\W\d_]+(?:_[^\W\d_]+)*")
CAUSES = """
    time money traffic validity hours longest replaced too_many granted revived unknown blocked exhausted expired
""".split()
CLOSE_CAUSES = "superseded stale not_begun gone disconnected nas_reboot".split()
OUTCOMES = (
    ("sent", None),
    ("ack", None),
    ("nak", "503 Session-Context-Not-Found"),
    ("no_answer", None),
    ("not_sent", "no secret: the NAS is not in 'prepaid nas list'"),
)


@pytest.fixture(scope="module")
def dictionary():
    """The words of all translations, without the commands and options that they name."""
    with open(PORTUGUESE, encoding="utf-8") as file:
        catalog = pofile.read_po(file, locale="pt_BR")
    words, shown, fixed = set(), set(), set()
    for message in catalog:
        forms = message.string if isinstance(message.string, tuple | list) else (message.string,)
        for form in forms if message.id else ():
            words |= words_of(re.sub(r"\{[^}]*\}|\([a-z_, ]+\)", " ", form))
        if message.context in CONTEXTS:
            shown |= words_of(message.string)
            fixed |= {message.id} if message.id != message.string else set()
    return (words - fixed) | shown | words_of(NAMES)


def words_of(text: str) -> set[str]:
    found = WORD.findall(NO_WORD.sub(" ", unicodedata.normalize("NFC", text)))
    return {word.casefold() for word in found if len(word) > 2}


@pytest.fixture
def trade(office, database):
    """Cards in every status, with sessions that ended for every reason, refused logins and requests to a NAS."""
    office.must(
        "product", "add", "Dez horas", "--time", "10h", "--price", "10.00", "--valid-days", "30", "--traffic", "2GB"
    )
    office.must("partner", "add", "Banca do Norte", "--commission", "12.5")
    cards = office.sell(8, product="Dez horas", partner="Banca do Norte")
    office.stock(2, product="Dez horas")
    first = cards[0].serial
    office.must("return", "--partner", "Banca do Norte", "--range", f"{cards[7].serial}-{cards[7].serial}")
    office.must("credit", first, "--add", "10m", "--reason", "Chuva")
    office.must("edit", first, "--expires", "2036-12-31", "--reason", "Chuva")
    office.must("block", cards[1].serial, "--reason", "Roubado")
    office.must("unblock", cards[1].serial, "--reason", "Achado")
    office.must("transfer", cards[2].serial, cards[3].serial, "--reason", "Troca")
    find = {"id": database.value("SELECT id FROM card WHERE serial = %(serial)s", {"serial": first})}
    for number, cause in enumerate(CAUSES, 1):
        _session(database, find, number, "UTC_TIMESTAMP(3) - INTERVAL 1 SECOND, NULL, NULL", cause)
    for number, cause in enumerate(CLOSE_CAUSES, 51):
        _session(database, find, number, f"NULL, UTC_TIMESTAMP(3), '{cause}'", "time")
    for number, (outcome, error_cause) in enumerate(OUTCOMES, 1):
        database.execute(
            "INSERT INTO disconnect_attempt (card_id, login_number, action, attempt, next_at, cause, outcome, error_cause)"
            " VALUES (%(id)s, %(number)s, 'disconnect', 1, UTC_TIMESTAMP(3) + INTERVAL 1 HOUR, 'time', %(outcome)s,"
            " %(error_cause)s)",
            {**find, "number": number, "outcome": outcome, "error_cause": error_cause},
        )
    for number, reason in enumerate(REFUSALS):
        database.execute(
            "INSERT INTO login_refusal (card_id, source, reason, window_at, nas_id, tries, first_at, last_at) VALUES"
            " (%(id)s, %(source)s, %(reason)s, UTC_TIMESTAMP(), 1, 3, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))",
            {**find, "source": f"1:{number}", "reason": reason},
        )
    return {"card": first, "unused": cards[4].serial, "stock": cards[7].serial, "batch": cards[0].batch}


def _session(database, find, number, ends, cause):
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, heard_at,"
        " due_at, closed_at, close_cause, due_cause, used_seconds, granted_seconds) VALUES (%(id)s, %(number)s, 1, %(number)s,"
        f" '', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), {ends}, %(cause)s, 60, 600)",
        {**find, "number": number, "cause": cause},
    )


SCREENS = (
    "audit verify",
    "batch list",
    "batch show {batch}",
    "db version",
    "sessions",
    "enforce --wait 0",
    "key list",
    "list",
    "nas list",
    "nas show loopback",
    "nat list",
    "note list",
    "note show 1",
    "operator list",
    "operator list --roles",
    "partner list",
    "partner show 'Banca do Norte'",
    "product list --all",
    "product show 'Dez horas'",
    "queue status",
    "queue quarantine",
    "reconcile",
    "report sales",
    "report settlement",
    "report stock",
    "report usage",
    "sessions",
    "sessions --anomalies",
    "sessions --address 10.5.0.7 --at 2026-03-02",
    "sessions --address 203.0.113.9 --port 40000 --at 2026-03-02",
    "show {card}",
    "simulate {card}",
    "simulate {unused}",
    "simulate {stock}",
    "track {card}",
    "track {unused}",
    "block {unused} --reason Chuva --dry-run",
    "delete {stock} --reason Chuva --dry-run",
    "delete {stock} --reason Chuva",
    "return --partner 'Banca do Norte' --range {unused}-{unused} --dry-run",
    "deliver --partner 'Banca do Norte' --range {stock}-{stock} --dry-run",
    "voice pending",
    "doctor",
    "raddb check",
    "product add Dez --time dez",
    "product add Dez --time 10h --hours x",
    "list --from ontem",
    "list --status Vendido",
    "show x",
)


def test_no_screen_has_an_english_word(office, trade, dictionary):
    english = {}
    for screen in SCREENS:
        arguments = shlex.split(screen.format(**trade))
        # A terminal on which no word is broken.
        shown = on_terminal(office, "pt_BR", *arguments, statuses={0, 1, 2, 3}, width=400, errors_too=True)
        if words := words_of(shown) - dictionary:
            english[screen] = words
    assert not english, "\n".join(f"{screen}: {sorted(words)}" for screen, words in english.items())


@pytest.mark.parametrize("report", ["stock", "sales", "usage", "settlement"])
def test_a_report_on_paper_has_no_english_word(office, trade, dictionary, report, tmp_path):
    path = tmp_path / "relatorio.pdf"
    office.must("--lang", "pt_BR", "report", report, "--format", "pdf", "--output", path)
    with pdfplumber.open(path) as pdf:
        shown = "\n".join(page.extract_text() for page in pdf.pages)
    assert words_of(shown) - dictionary == set(), shown
    path = tmp_path / "relatorio.xlsx"
    office.must("--lang", "pt_BR", "report", report, "--format", "xlsx", "--output", path)
    book = openpyxl.load_workbook(path)
    shown = "\n".join(
        [book.active.title, *(str(cell.value) for row in book.active.rows for cell in row if cell.value is not None)]
    )
    assert words_of(re.sub("=SUBTOTAL.*|=SUM.*", "", shown)) - dictionary == set(), shown


def test_the_page_has_no_english_word(office, trade, dictionary, tmp_path):
    path = tmp_path / "pagina.html"
    office.must("--lang", "pt_BR", "report", "sales", "--format", "html", "--output", path)
    page = re.sub(r"(?s)<style.*?</style>|<script.*?</script>", " ", path.read_text(encoding="utf-8"))
    labels = re.findall(r'(?:aria-label|title|alt)="([^"]*)"', page)
    shown = html.unescape(" ".join([re.sub(r"(?s)<[^>]*>", " ", page), *labels]))
    assert words_of(shown) - dictionary == set()
