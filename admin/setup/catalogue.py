"""The first NAS and the first product."""

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from freeradius_module.sealing import pin

from .. import nas as nas_commands
from .. import product as product_commands
from .. import store
from ..shell import errors
from ..shell.shared_options import name_type
from ..shell.text import _, translated
from ..store.rows import Cursor, Row
from . import saved
from .machine import ROOT, Machine, run_quietly
from .saved import Saved
from .steps import Step

SECRET_OCTETS = 24
# This machine as a NAS, with a secret that nobody else knows: `prepaid doctor` tries its login as this one.
DOCTOR = {"name": "doctor", "address": "127.0.0.1/32"}


class NasSecret(Step):
    """A new shared secret, in a file for root alone: a person types it at the NAS."""

    def __init__(self, path: Path):
        super().__init__(_("Write {path} (mode 0600): a new shared secret, to be typed at the NAS").format(path=path))
        self.path = path

    def is_done(self) -> bool:
        return self.path.exists()

    def do(self) -> None:
        self.undo_by(Saved(self.path).restore)
        saved.write(self.path, f"{secrets.token_urlsafe(SECRET_OCTETS)}\n".encode(), ROOT, 0o600)


class Nas(Step):
    """A NAS in the database.  `secret_file` has its shared secret; None: a secret that nobody has to type."""

    def __init__(self, machine: Machine, name: str, address: str, vendor: str, secret_file: Path | None):
        super().__init__(_("Add the NAS {name} at {address}").format(name=name, address=address))
        self.machine = machine
        self.nas_name, self.address, self.vendor = name, address, vendor
        self.secret_file = secret_file

    def is_done(self) -> bool:
        return _has(self.machine, store.nas.listed, self.nas_name)

    def do(self) -> None:
        office = self.machine.office
        number, sealed = pin.seal_nas_secret(self._secret(), self.nas_name, office.keyring)
        values = {
            "name": self.nas_name,
            "address": self.address,
            "vendor": self.vendor,
            "secret_sealed": sealed,
            "key_number": number,
            "disconnect_port": 3799,
            "require_message_authenticator": True,
            "counter_rule": "gigawords",
        }
        nas_id = office.change(lambda cursor: store.nas.add(cursor, values))
        self.undo_by(lambda: self._remove(nas_id))

    def _secret(self) -> str:
        if self.secret_file is None:
            return secrets.token_urlsafe(SECRET_OCTETS)
        return read_secret(self.secret_file)

    def _remove(self, nas_id: int) -> None:
        self.machine.office.change(lambda cursor: store.nas.remove(cursor, nas_id))


class Product(Step):
    """The first product.  A product cannot be removed, so this step is the last one."""

    def __init__(self, machine: Machine, arguments: list[str]):
        super().__init__(_("Add the product {name}").format(name=arguments[0]))
        self.machine, self.arguments = machine, arguments

    def is_done(self) -> bool:
        return _has(self.machine, partial(store.product.listed, retired_too=True), self.arguments[0])

    def do(self) -> None:
        run_quietly(product_commands.add, self.arguments, self.machine.office)


def steps_of_nas(machine: Machine) -> list[Step]:
    """The NAS of the answers, and this machine as a NAS if FreeRADIUS serves cards on ports of its own."""
    answers = machine.answers
    steps: list[Step] = []
    if answers.nas_name:
        if not answers.nas_address:
            raise errors.WrongUsage(_("The NAS {name} needs an address: --nas-address."), name=answers.nas_name)
        path = Path(answers.nas_secret_file or machine.folder / "nas.secret")
        name = _checked("--nas-name", name_type(64).parse, answers.nas_name)
        address = _checked("--nas-address", nas_commands.checked_address, answers.nas_address)
        if path.exists():
            read_secret(path)
        steps = [NasSecret(path), Nas(machine, name, address, answers.nas_vendor, path)]
    if answers.freeradius == "own" and answers.nas_address not in ("127.0.0.1", DOCTOR["address"]):
        steps.append(Nas(machine, DOCTOR["name"], DOCTOR["address"], "generic", None))
    return steps


def steps_of_product(machine: Machine) -> list[Step]:
    answers = machine.answers
    if not answers.product_name:
        return []
    if not answers.product_time and not answers.product_traffic:
        raise errors.WrongUsage(
            _("The product {name} needs a credit: --product-time or --product-traffic."), name=answers.product_name
        )
    arguments = [answers.product_name, "--kind", "internet"]
    for option, value in (
        ("--time", answers.product_time),
        ("--traffic", answers.product_traffic),
        ("--price", answers.product_price),
        ("--valid-days", answers.product_valid_days),
    ):
        if value:
            arguments += [option, value]
    # Everything is checked before anything is changed.
    try:
        product_commands.add.make_context("add", list(arguments))
    except click.ClickException as error:
        raise errors.WrongUsage("{cause}", cause=error.format_message()) from None
    return [Product(machine, arguments)]


def read_secret(path: Path) -> str:
    """The shared secret in the first line of a file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return nas_commands.checked_secret(file.readline())
    except OSError as error:
        raise errors.WrongUsage(_("{path} cannot be read: {cause}."), path=path, cause=error.strerror) from None
    except click.BadParameter as error:
        raise errors.WrongUsage("{path}: {cause}", path=path, cause=error.message) from None


def _checked(option: str, check: Callable[[str], Any], value: str) -> str:
    try:
        return str(check(value))
    except ValueError as error:
        raise errors.WrongUsage("{option}: {cause}", option=option, cause=translated(error)) from None
    except click.BadParameter as error:
        raise errors.WrongUsage("{option}: {cause}", option=option, cause=error.message) from None


def _has(machine: Machine, listed: Callable[[Cursor], list[Row]], name: str) -> bool:
    """Whether the database, if there is one already, lists a row of this name."""
    if not machine.config.exists():
        return False
    try:
        with machine.office.reading() as cursor:
            return any(row["name"] == name for row in listed(cursor))
    except (errors.NotReachable, errors.NoSchema):
        return False
