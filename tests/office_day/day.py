"""A day of the office: every command of the counter and the desk, in the order in which a day has them.

A step is a line as somebody types it (`prepaid …`, without the word `prepaid`), with what is typed after it on the
keyboard; or a customer, who logs in with a card and uses it.  Serials of the day are the same on every new database:
{1} is the first card of the first batch.
"""

from typing import NamedTuple


class Type(NamedTuple):
    """`prepaid` and this line; `keys` is what the person answers, `status` how the command ends."""

    line: str
    keys: str = ""
    status: int = 0


class Use(NamedTuple):
    """A customer logs in with a card, is online for so long, and receives so much."""

    card: str
    seconds: int
    down_octets: int = 0
    pin: str | None = None
    ends: bool = True


Step = Type | Use
# The cards of the day: a product and a number in its batch.  Serials have nine digits, the last a check digit.
PRODUCT, TRAFFIC, PHONE = "'Dez horas'", "'Um giga'", "'Voz dez'"
BANCA = "'Banca do Norte'"

DAY: tuple[Step, ...] = (
    # Morning: what is sold, and who sells it.
    Type("--version"),
    Type("product add 'Dez horas' --time 10h --price 10.00 --valid-days 30 --commission 12.5"),
    Type(
        "product add 'Um giga' --traffic 1GB --price 25.00 --speed-down 10000 --speed-up 2000 --hours 'Mo-Fr 08:00-18:00'"
    ),
    Type("product add 'Voz dez' --kind telephony --money 10.00 --price 10.00"),
    Type("product add Dez --time dez", status=2),
    Type("product list"),
    Type("product show 'Um giga'"),
    Type("product edit 'Dez horas' --price 12.00"),
    Type(
        "partner add 'Banca do Norte' --document 11.222.333/0001-81 --contact '(11) 99999-0000' --credit-limit 2000.00"
    ),
    Type("partner add 'Mercado São João' --commission 10"),
    Type("partner list"),
    Type("partner show 'Banca do Norte'"),
    Type("partner edit 'Mercado São João' --contact 'Dona Ana'"),
    Type("nas add centro --address 127.0.0.2 --vendor mikrotik --secret-file {secret}"),
    Type("nas add praia --tls"),
    Type("nas list"),
    Type("nas show centro"),
    Type("nas edit centro --vendor chilli"),
    Type("nas remove praia"),
    Type("nas remove prai", status=1),
    # The print shop.
    Type("generate --product 'Dez horas' --count 12 --dry-run"),
    Type("generate --product 'Dez horas' --count 12"),
    Type("generate --product 'Um giga' --count 6 --prefix G"),
    Type("generate --product 'Voz dez' --count 3"),
    Type("batch list"),
    Type("batch show 1"),
    Type("export --batch 1 --output {folder}/cards.csv"),
    Type("export --batch 1 --output {folder}/cards.pdf", status=1),
    Type("export --batch 2 --format pdf --output {folder}/cards.pdf"),
    Type("export --batch 3 --format xlsx --output {folder}/cards.xlsx"),
    Type("export --range {1}-{4} --format slip --paper 58 --reason Balcão --output {folder}/slips.bin"),
    Type("batch receive 1 --missing {missing} --reason 'Vieram rasgados' --yes"),
    Type("import --product 'Dez horas' {old}"),
    # Deliveries.
    Type("deliver --product 'Dez horas' --count 6 --partner 'Banca do Norte' --dry-run"),
    Type("deliver --product 'Dez horas' --count 6 --partner 'Banca do Norte'", keys="{yes}\n"),
    Type("deliver --batch 2 --partner 'Mercado São João' --yes"),
    Type("deliver --batch 3 --partner 'Banca do Norte' --yes"),
    Type("deliver --batch 9 --partner 'Banca do Norte'", status=1),
    Type("deliver --batch 2 --partner Banca", status=1),
    Type("note list"),
    Type("note show 2"),
    Type("note show 2 --format pdf --output {folder}/note.pdf"),
    # Customers.
    Use("{1}", 3600, 700_000_000),
    Use("{2}", 1800, 50_000_000, ends=False),
    Use("{3}", 0, pin="0000000000"),
    Use("{13}", 60, 1_000_000_000),
    Type("list"),
    Type("list --status in_use"),
    Type("list --status Vendido", status=2),
    Type("list --batch 1 --limit 3"),
    Type("list --header --limit 2"),
    Type("show {1}"),
    Type("show {1} --json"),
    Type("show {5}"),
    Type("show {5} --pin"),
    Type("show 999999999", status=1),
    Type("track {1}"),
    Type("track {3}"),
    Type("simulate {1}"),
    Type("simulate {5} --nas centro"),
    Type("simulate {19}"),
    Type("sessions"),
    Type("sessions --anomalies"),
    Type("nat import {nat}"),
    Type("nat list"),
    Type("nat purge --before 2020-01-01"),
    Type("sessions --address 10.5.0.7 --at '2026-03-02 17:30' --reason 'Ofício 12/2026'"),
    Type("sessions --address 203.0.113.9 --port 40001 --at 2026-03-02T17:30-03:00 --reason 'Ofício 12/2026'"),
    # The telephone.
    Type("block {5} --reason Furto", keys="{yes}\n"),
    Type("block --batch 2 --reason 'Gráfica avisou' --dry-run"),
    Type("block --batch 2 --reason 'Gráfica avisou'", keys="n\n", status=1),
    Type("block {5} --reason Furto --yes"),
    Type("show {5}"),
    Type("unblock {5} --yes"),
    Type("edit {4} --note 'Cliente da Rua 9'"),
    Type("edit {4} --expires 31/12/2027", status=2),
    Type("edit {4} --expires none", status=2),
    Type("edit {4} --expires none --reason 'Pedido do cliente'"),
    Type("credit {4} --add 1h --reason 'Chuva' --key chamado-81"),
    Type("transfer {4} {6} --reason 'Cartão molhado'"),
    Type("delete {11} --reason Rasgado", keys="{yes}\n"),
    Type("delete {1} --reason Rasgado --yes", status=1),
    Type("return --partner 'Banca do Norte' --range {6}-{6} --dry-run"),
    Type("return --partner 'Mercado São João' --batch 2", status=1),
    Type("return --partner 'Banca do Norte' --range {5}-{5}"),
    Type("disconnect {2} --wait 0", status=1),
    Type("enforce --wait 0", status=1),
    Type("redeem {19} --account 1130001000", keys="{pin 19}\n"),
    Type("voice pending"),
    Type("voice export --output {folder}/voice.csv"),
    Type("voice confirm --export 1"),
    # Evening: the money.
    Type("payment add 'Banca do Norte' 30.00 --key recibo-7"),
    Type("payment add 'Banca do Norte' 30.00 --key recibo-7"),
    Type("payment list"),
    Type("payment reverse 1 --reason 'Valor errado'"),
    Type("partner statement 'Banca do Norte'"),
    Type("partner statement 'Banca do Norte' --format pdf --output {folder}/statement.pdf"),
    Type("report stock"),
    Type("report sales"),
    Type("report usage"),
    Type("report settlement"),
    Type("report sales --format xlsx --output {folder}/sales.xlsx"),
    Type("report sales --format html --output {folder}/sales.html"),
    Type("report settlement --format pdf --output {folder}/settlement.pdf"),
    Type("product retire 'Um giga'"),
    Type("partner retire 'Mercado São João'"),
    # Night, and the administrator.
    Type("db archive"),
    Type("reconcile"),
    Type("audit seal"),
    Type("audit verify"),
    Type("queue status"),
    Type("queue quarantine"),
    Type("queue replay"),
    Type("charge"),
    Type("key list"),
    Type("operator list"),
    Type("operator list --roles"),
    Type("db version"),
)

# Commands that are not of an office's day, each with what shows its screens instead.
ELSEWHERE = {
    "browse": "tests/cli/test_browse.py and the pictures of docs/browse.md",
    "completion": "prints a program of the shell",
    "db init": "the first start of every test's database",
    "db upgrade": "tests/schema/test_migrations.py",
    "doctor": "its numbers are those of the machine; tests/acceptance/test_doctor.py and tests/system/test_doctor.py",
    "engine": "a service",
    "key add": "tests/cli/test_key_change.py",
    "key retire": "tests/cli/test_key_change.py",
    "key rotate": "tests/cli/test_key_change.py",
    "metrics": "prints for Prometheus",
    "operator add": "prints a new password; tests/cli/test_operators.py",
    "operator remove": "tests/cli/test_operators.py",
    "raddb check": "tests/contract/test_raddb.py",
    "raddb install": "tests/contract/test_raddb.py",
    "raddb remove": "tests/contract/test_raddb.py",
    "setup": "tests/cli/test_setup.py and tests/system/test_setup.py",
}
