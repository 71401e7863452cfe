"""Every command that changes something: how a test of a cluster prepares and types it."""

import itertools

NAT_HEAD = "public_address,first_port,private_address,begin_at,end_at"


# Commands that change something in another way than by transactions of the office.
OTHERS = {
    "audit seal": "seals again what another process has sealed meanwhile",
    "browse": "runs the commands below",
    "charge": "the module's connection repeats",
    "db init": "statements that define tables and accounts are never refused at a commit",
    "db upgrade": "as db init",
    "doctor": "its record is a note",
    "engine": "the module's connection repeats",
    "metrics": "reads",
    "operator add": "accounts and roles are never refused at a commit",
    "operator remove": "as operator add",
    "queue replay": "the module's connection repeats",
    "raddb install": "no database",
    "raddb remove": "no database",
    "setup": "runs the functions of the commands below",
}


unique_number = itertools.count(1)


class Case:
    """What a command needs, made anew for each of its runs."""

    def __init__(self, office, database, tmp_path):
        self.office, self.database, self.folder = office, database, tmp_path

    def path(self, name):
        return self.folder / f"{next(unique_number)}-{name}"

    def file(self, name, text):
        path = self.path(name)
        path.write_text(text)
        return path

    def telephony(self):
        product = self.office.product("--money", "20.00", "--tariff-minute", "0.05", kind="telephony")
        (card,) = self.office.sell(1, product=product)
        return card

    def redeemed(self):
        card = self.telephony()
        self.office.must("redeem", card.serial, "--account", "+551133334444", stdin=f"{card.pin}\n")
        return card

    def in_session(self):
        """A card with a session that began a minute ago; all other sessions have ended."""
        self.database.execute(
            "UPDATE session SET stopped_at = UTC_TIMESTAMP(3), due_at = NULL WHERE due_at IS NOT NULL"
        )
        (card,) = self.office.sell(1, "--time", "10m")
        self.database.execute(
            "UPDATE card SET status = 'in_use', first_login_at = UTC_TIMESTAMP(3) WHERE serial = %s", [card.serial]
        )
        self.database.execute(
            """INSERT INTO session (card_id, login_number, nas_id, acct_session_id, login_at, started_at, heard_at, due_at,
                                    due_cause, granted_seconds)
               SELECT id, 1, 1, serial, UTC_TIMESTAMP(3) - INTERVAL 60 SECOND, UTC_TIMESTAMP(3) - INTERVAL 60 SECOND,
                      UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 1 HOUR, 'time', 600
                 FROM card WHERE serial = %s""",
            [card.serial],
        )
        return card

    def payment(self):
        shop, key = self.office.partner(), f"before-{next(unique_number)}"
        return self.office.json("payment", "add", shop, "5.00", "--key", key)["payment"]


def stock(case, count=2):
    return case.office.stock(count, "--time", "10m")


def sold(case, count=2):
    return case.office.sell(count, "--time", "10m")


def _deliver(case):
    return ["deliver", "--partner", case.office.partner(), "--batch", stock(case)[0].batch], None


def _return(case):
    card = sold(case)[0]
    return ["return", "--partner", case.office.show(card)["partner"], "--batch", card.batch], None


def _receive(case):
    cards = stock(case)
    path = case.file("missing.txt", cards[0].serial + "\n")
    return ["batch", "receive", cards[0].batch, "--missing", path, "--yes"], None


def _transfer(case):
    one, other = sold(case)
    return ["transfer", one.serial, other.serial, "--reason", "Replacement", "--key", "ticket-1"], None


def _credit(case):
    return ["credit", sold(case)[0].serial, "--add", "5m", "--reason", "Storm", "--key", "ticket-1"], None


def _redeem(case):
    card = case.telephony()
    return ["redeem", card.serial, "--account", "+551133334444"], f"{card.pin}\n"


def _confirm(case):
    case.redeemed()
    number = case.office.json("voice", "export", "--output", case.path("vsc.csv"))["export"]
    return ["voice", "confirm", "--export", number], None


def _voice_export(case):
    case.redeemed()
    return ["voice", "export", "--output", case.path("vsc.csv")], None


def _confirm_by_file(case):
    card = case.redeemed()
    case.office.must("voice", "export", "--output", case.path("vsc.csv"))
    credit = case.database.value(
        "SELECT voice_credit.id FROM voice_credit JOIN card ON card.id = card_id WHERE serial = %s", [card.serial]
    )
    return ["voice", "confirm", case.file("answer.csv", f"credit,reference\n{credit},ref-{credit}\n")], None


def _import(case):
    numbers = [next(unique_number) for _ in range(2)]
    lines = "".join(f"OLD{number:06},4821{number:06}\n" for number in numbers)
    return [
        "import",
        "--product",
        case.office.product("--time", "1h"),
        case.file("old.csv", f"serial,pin\n{lines}"),
    ], None


def _block(case):
    return ["block", *[card.serial for card in sold(case)], "--reason", "Stolen", "--yes"], None


def _unblock(case):
    serials = [card.serial for card in sold(case)]
    case.office.must("block", *serials, "--reason", "Stolen", "--yes")
    return ["unblock", *serials, "--yes"], None


def _export(case):
    return [
        "export",
        "--batch",
        stock(case, 3)[0].batch,
        "--again",
        "--reason",
        "Jam",
        "--output",
        case.path("c.csv"),
    ], None


def _nas(case):
    number = next(unique_number)
    name = f"NAS {number}"
    address = f"10.9.{number // 250}.{number % 250 + 1}"
    case.office.must("nas", "add", name, "--address", address, "--secret-file", "-", stdin="s3cr3t-long\n")
    return name


def _nas_add(case):
    number = next(unique_number)
    address = f"10.8.{number // 250}.{number % 250 + 1}"
    return ["nas", "add", f"NAS {number}", "--address", address, "--secret-file", "-"], "s3cr3t-long\n"


def _nat_log(case, day):
    return case.file("nat.csv", f"{NAT_HEAD}\n203.0.113.9,{next(unique_number)},100.64.0.7,{day}T00:00Z,{day}T01:00Z\n")


def _nat_purge(case):
    case.office.must("nat", "import", _nat_log(case, "2020-01-01"))
    return ["nat", "purge", "--before", "2020-02-01"], None


def _archive(case):
    card = case.in_session()
    case.database.execute(
        "UPDATE session SET stopped_at = started_at - INTERVAL 3 DAY, started_at = started_at - INTERVAL 4 DAY,"
        " login_at = login_at - INTERVAL 4 DAY, heard_at = heard_at - INTERVAL 3 DAY,"
        " due_at = NULL, used_seconds = 60, end_recorded_at = UTC_TIMESTAMP(3) - INTERVAL 3 DAY"
        " WHERE acct_session_id = %s",
        [card.serial],
    )
    return ["db", "archive"], None


def _expire(case):
    card = case.in_session()
    case.database.execute(
        "UPDATE card SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND WHERE serial = %s", [card.serial]
    )
    # Too long silent for its NAS to be asked.
    case.database.execute(
        "UPDATE session SET heard_at = heard_at - INTERVAL 2 HOUR, due_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND"
        " WHERE acct_session_id = %s",
        [card.serial],
    )
    return ["enforce", "--wait", "0"], None


def _retire_key(case):
    case.office.must("key", "add")
    case.office.must("key", "rotate", "--yes")
    oldest = min(row["number"] for row in case.office.json("key", "list") if row["state"] != "retired")
    return ["key", "retire", oldest, "--yes"], None


# Each makes a command line, and what the command reads from standard input.
CASES = {
    "batch receive": _receive,
    "block": _block,
    "credit": _credit,
    "db archive": _archive,
    "delete": lambda case: (["delete", "--batch", stock(case)[0].batch, "--reason", "Misprinted", "--yes"], None),
    "deliver": _deliver,
    "disconnect": lambda case: (["disconnect", case.in_session().serial, "--wait", "0"], None),
    "edit": lambda case: (
        ["edit", sold(case)[0].serial, "--note", "Ana", "--expires", "2036-12-31", "--reason", "Storm", "--unbind"],
        None,
    ),
    "enforce": _expire,
    "export": _export,
    "generate": lambda case: (["generate", "--product", case.office.product("--time", "1h"), "--count", 5], None),
    "import": _import,
    "key add": lambda case: (["key", "add"], None),
    "key retire": _retire_key,
    "key rotate": lambda case: (case.office.must("key", "add") and ["key", "rotate", "--yes"], None),
    "nas add": _nas_add,
    "nas edit": lambda case: (["nas", "edit", _nas(case), "--vendor", "chilli"], None),
    "nas remove": lambda case: (["nas", "remove", _nas(case)], None),
    "nat import": lambda case: (["nat", "import", _nat_log(case, "2026-01-01")], None),
    "nat purge": _nat_purge,
    "partner add": lambda case: (["partner", "add", f"Shop {next(unique_number)}", "--credit-limit", "100.00"], None),
    "partner edit": lambda case: (
        ["partner", "edit", case.office.partner(), "--commission", "10", "--credit-limit", "50.00"],
        None,
    ),
    "partner retire": lambda case: (["partner", "retire", case.office.partner()], None),
    "payment add": lambda case: (
        ["payment", "add", case.office.partner(), "5.00", "--key", f"pix-{next(unique_number)}"],
        None,
    ),
    "payment reverse": lambda case: (["payment", "reverse", case.payment(), "--reason", "Wrong partner"], None),
    "product add": lambda case: (
        ["product", "add", f"Hour {next(unique_number)}", "--time", "1h", "--reply", "Filter-Id := gold"],
        None,
    ),
    "product edit": lambda case: (
        ["product", "edit", case.office.product("--time", "1h"), "--price", "7.00", "--valid-until", "2036-12-31"],
        None,
    ),
    "product retire": lambda case: (["product", "retire", case.office.product("--time", "1h")], None),
    "redeem": _redeem,
    "return": _return,
    "transfer": _transfer,
    "unblock": _unblock,
    "voice confirm": _confirm,
    "voice export": _voice_export,
    # Another way of a command above, or commands that read and record that they did.
    "voice confirm, by a file": _confirm_by_file,
    "audit verify": lambda case: (["audit", "verify"], None),
    "reconcile": lambda case: (["reconcile"], None),
}
