"""The files of raddb-config/: every function, policy and setting is there, and explained."""

import ast
import json
import re

from admin.freeradius import files as raddb_files
from tests.contract.raddb_directory import CHECKOUT, TEMPLATES


def test_every_function_that_freeradius_calls_is_there():
    hooks = ast.parse((CHECKOUT / "freeradius_module" / "hooks.py").read_text())
    defined = {node.name for node in hooks.body if isinstance(node, ast.FunctionDef)}
    called = re.findall(r"(?m)^\s*func_\w+ = (\w+)$", (TEMPLATES / "mods-available" / "prepaid").read_text())
    assert len(called) == 8 and set(called) <= defined


def test_every_policy_that_a_site_calls_is_there():
    policy = "".join(path.read_text() for path in sorted((TEMPLATES / "policy.d").iterdir()))
    own_modules = {"prepaid_eap", "prepaid_queue", "prepaid_quarantine", "prepaid_guard_log", "prepaid_unreadable"}
    defined = set(re.findall(r"(?m)^(prepaid_\w+) \{$", policy)) | own_modules | {"prepaid_tunnel_reply"}
    folders = ("sites-available", "prepaid.d", "policy.d")
    for path in [path for folder in folders for path in (TEMPLATES / folder).iterdir()]:
        called = set(re.findall(r"(?m)^\t*(prepaid_[a-z_]+)\b(?: \{)?$", path.read_text()))
        assert called <= defined, path.name


def test_every_setting_is_explained():
    """A comment is directly above each setting, or above the block of lines that it belongs to."""
    unexplained = []
    for path in [*(TEMPLATES / "mods-available").iterdir(), *(TEMPLATES / "sites-available").iterdir()]:
        explained = False
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            words = line.strip()
            if words.startswith("#"):
                explained = True
            elif words in ("", "}"):
                explained = False
            elif re.match(r"(?!fail |ok )[a-z_]+ = ", words) and not explained:  # priorities are no settings
                unexplained.append(f"{path.name}:{number}: {words}")
    assert unexplained == []


def test_the_readme_names_every_file_option_and_setting():
    readme = (TEMPLATES / "README.md").read_text()
    names = [path.name for path in TEMPLATES.rglob("*") if path.is_file() and path.name != "README.md"]
    options = [
        "--dir",
        "--serve",
        "--listen",
        "--auth-port",
        "--acct-port",
        "--instances",
        "--force",
        "--into",
        "--tls",
        "--tls-certificate",
    ]
    settings = ["accounting = queued", "queue = ", "card_forms = "]
    assert [name for name in names + options + settings if name not in readme] == []


def test_the_record_says_what_was_chosen(raddb):
    raddb.install("--serve", "auth")
    record = json.loads(raddb.text("prepaid.installed"))
    assert record["choice"]["serve"] == "auth"
    assert set(record["files"]) == set(raddb_files.paths(raddb_files.Choice("", "", serve="auth")))
