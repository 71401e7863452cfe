"""Finds every place of a file that can be changed: in Python, in the SQL of its strings, and in SQL files.

mutmut and cosmic-ray change only Python, but here SQL in strings and triggers decides and charges.

    >>> [str(change) for change in of_python("m.py", "def f(a, b):\\n    return a < b + 1\\n")]
    ["m.py:2:13 '<' -> '<='", "m.py:2:17 '+' -> '-'", "m.py:2:19 '1' -> '2'"]
    >>> [str(change) for change in of_python("m.py", "S = 'SELECT SUM(a) FROM t WHERE a IS NULL'\\n")]
    ["m.py:1:12 'SUM(' -> 'MAX('", "m.py:1:34 'IS NULL' -> 'IS NOT NULL'"]
"""

import ast
import io
import re
import tokenize
from typing import NamedTuple

PYTHON = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+": "-", "-": "+", "*": "+", "//": "*", "%": "*",
    "and": "or", "or": "and", "True": "False", "False": "True", "min": "max", "max": "min", "any": "all", "all": "any",
    "break": "continue",
}  # fmt: skip
SQL = {
    "AND": "OR", "OR": "AND", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "<>": "=", "+": "-", "-": "+", "*": "+",
    "SUM(": "MAX(", "MAX(": "MIN(", "GREATEST(": "LEAST(", "LEAST(": "GREATEST(", "IS NULL": "IS NOT NULL",
    "IS NOT NULL": "IS NULL", "NOT EXISTS": "EXISTS", "TRUE": "FALSE", "FALSE": "TRUE",
}  # fmt: skip
# Operators that stand between spaces; longer ones first.
_SQL = re.compile(
    r"\b(?:NOT EXISTS|IS NOT NULL|IS NULL|AND|OR|TRUE|FALSE)\b|\b(?:SUM|MAX|GREATEST|LEAST)\(|(?<= )(?:<>|<=|>=|<|>|\+|-|\*)(?= )"
)
_IS_SQL = re.compile(
    r"\b(?:SELECT|UPDATE|INSERT|DELETE|WHERE|COALESCE|INTERVAL|IS NULL|IS NOT NULL|(?:IF|SUM|MAX)\()|(?<= )<> ''"
)
_OBJECT = re.compile(
    r"CREATE (?:OR REPLACE )?(?:SQL SECURITY \w+ )?(?P<kind>TRIGGER|VIEW|PROCEDURE|FUNCTION) (?P<name>\w+)"
)
_BETWEEN = re.compile(r"BETWEEN\s+\S+\s+$")


class Change(NamedTuple):
    path: str
    line: int
    column: int
    old: str
    new: str
    start: int  # where it is in the text

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column} {self.old!r} -> {self.new!r}"

    def applied(self, text: str) -> str:
        assert text[self.start : self.start + len(self.old)] == self.old
        return text[: self.start] + self.new + text[self.start + len(self.old) :]


def of_python(path: str, text: str) -> list[Change]:
    starts = _line_starts(text)
    docstrings = _docstrings(text)
    changes = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line, column = token.start
        start = starts[line - 1] + column
        if token.type == tokenize.STRING:
            if line not in docstrings and _IS_SQL.search(token.string):
                changes += _in_sql(path, text, start, start + len(token.string), starts)
        elif token.type == tokenize.NUMBER and token.string.isdigit():
            changes.append(Change(path, line, column, token.string, str(int(token.string) + 1), start))
        elif token.type in (tokenize.OP, tokenize.NAME) and token.string in PYTHON and not _is_no_operator(token):
            changes.append(Change(path, line, column, token.string, PYTHON[token.string], start))
    return changes


def of_sql(path: str, text: str) -> list[Change]:
    """Only triggers, views, procedures and functions: the columns of a table decide nothing."""
    starts = _line_starts(text)
    return [change for one in objects(text) for change in _in_sql(path, text, one.start, one.end, starts)]


class Object(NamedTuple):
    kind: str
    name: str
    start: int
    end: int  # without the delimiter


def objects(text: str) -> list[Object]:
    """The triggers, views, procedures and functions of a file of SQL, with or without DELIMITER //.

    >>> [tuple(one) for one in objects("CREATE TRIGGER t BEFORE\\n  x;\\nDELIMITER //\\nCREATE PROCEDURE p() DO 1; END//\\n")]
    [('TRIGGER', 't', 0, 27), ('PROCEDURE', 'p', 42, 72)]
    """
    found, delimiter, begin, at = [], ";", None, 0
    for line in text.splitlines(keepends=True):
        if line.startswith("DELIMITER "):
            delimiter = line.split()[1]
        elif begin is None and (head := _OBJECT.match(line)):
            begin = (head["kind"], head["name"], at)
        if begin is not None and _code(line).endswith(delimiter):
            found.append(Object(*begin, at + line.rindex(delimiter)))
            begin = None
        at += len(line)
    return found


def replacing(statement: str) -> str:
    """The statement that puts a changed object in the place of the one that exists.

    >>> replacing("CREATE TRIGGER t BEFORE UPDATE ON card")
    'CREATE OR REPLACE TRIGGER t BEFORE UPDATE ON card'
    """
    return "CREATE OR REPLACE" + statement.removeprefix("CREATE").removeprefix(" OR REPLACE")


def _code(line: str) -> str:
    return line.split("--")[0].rstrip()


def _in_sql(path: str, text: str, start: int, end: int, starts: list[int]) -> list[Change]:
    changes = []
    for found in _SQL.finditer(text, start, end):
        line = text.count("\n", 0, found.start()) + 1
        before = text[starts[line - 1] : found.start()]
        if "--" in before or (found[0] == "AND" and _BETWEEN.search(before)):
            continue
        changes.append(Change(path, line, len(before), found[0], SQL[found[0]], found.start()))
    return changes


def _is_no_operator(token: tokenize.TokenInfo) -> bool:
    """Whether it is a star that unpacks, the sign of a number, or part of an annotation."""
    before = token.line[: token.start[1]].rstrip()
    if token.string in ("*", "-", "+"):
        return not before or before[-1] in "([{,=:*" or before.endswith("return")
    return False


def _docstrings(text: str) -> set[int]:
    """The numbers of the lines where a docstring begins."""
    return {
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts
