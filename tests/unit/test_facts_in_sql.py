"""Facts that SQL has to repeat are the same there as in Python, where each has one home."""

import ast
import re
from pathlib import Path

from admin.store import roles
from freeradius_module import attributes

CHECKOUT = Path(__file__).resolve().parents[2]
SCHEMA = (CHECKOUT / "sql" / "schema.sql").read_text(encoding="utf-8")
ROLES = (CHECKOUT / "sql" / "roles.sql").read_text(encoding="utf-8")
SOURCES = [path for package in ("admin", "freeradius_module") for path in sorted((CHECKOUT / package).rglob("*.py"))]


def constant(name: str) -> int:
    """The value of a constant of the two packages, which one module defines."""
    values = [
        ast.literal_eval(node.value)
        for path in SOURCES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == name
    ]
    assert len(values) == 1, f"{name} has {len(values)} homes"
    return int(values[0])


def enum(column: str) -> set[tuple[str, ...]]:
    """The values of every column of this name, a set with one tuple if all are equal."""
    found = re.findall(rf"^    {column} +ENUM\(([^)]+)\)", SCHEMA, re.MULTILINE)
    return {tuple(re.findall(r"'(\w+)'", values)) for values in found}


def test_a_session_is_stale_after_the_same_silence() -> None:
    rule = (str(constant("MISSED_INTERIMS")), str(constant("GRACE_SECONDS")))
    written = re.compile(r"(\d+) \* (?:session\.)?interim_seconds \+ (\d+)")
    assert written.findall(SCHEMA) == [rule] * 2
    for path in SOURCES:
        assert set(written.findall(path.read_text(encoding="utf-8"))) <= {rule}, path.name


def test_wrong_pins_are_counted_in_the_same_windows() -> None:
    (seconds,) = set(re.findall(r"server_time\(\)\) DIV (\d+) \* \d+", SCHEMA))
    assert int(seconds) == constant("WINDOW_SECONDS")


def test_the_longest_transaction_is_the_same() -> None:
    assert set(re.findall(r"INTERVAL (\d+) HOUR\)", SCHEMA)) == {str(constant("LONGEST_TRANSACTION_HOURS"))}


def test_a_serial_has_the_same_length() -> None:
    assert set(re.findall(r"\b\w*serial +VARCHAR\((\d+)\)", SCHEMA)) == {str(attributes.SERIAL_MAX)}


def test_a_batch_takes_as_many_serials_as_the_counter_permits() -> None:
    most = constant("MOST_CARDS")
    assert f"OLD.next_number + {most}" in SCHEMA and f"NEW.next_number > {most + 1}" in SCHEMA


def test_the_roles_are_the_same() -> None:
    created = ROLES[ROLES.index("CREATE ROLE") :]
    assert re.findall(r"\{(\w+)\}", created[: created.index(";")]) == list(roles.ROLES)
    transitions = SCHEMA[SCHEMA.index("INSERT INTO card_transition") :]
    named = re.findall(r"'(\w+)', (?:TRUE|FALSE)\)", transitions[: transitions.index(";")])
    named += re.findall(r"may_act\('(\w+)'\)", SCHEMA)
    assert named and set(named) <= set(roles.ROLES)


def test_the_statuses_of_a_card_are_the_same_everywhere() -> None:
    statuses = enum("status") | enum("from_status") | enum("to_status")
    assert len(statuses) == 1
    (all_of_them,) = statuses
    transitions = SCHEMA[SCHEMA.index("INSERT INTO card_transition") :]
    used = set(re.findall(r"'(\w+)', +'(\w+)', +'\w+'", transitions[: transitions.index(";")]))
    assert {status for pair in used for status in pair} == set(all_of_them)
