"""The real radiusd with the product's sites, and another Python module in place of ours.

There is no database: the tests check how FreeRADIUS and the sites handle a module's answers, right and wrong ones.
"""

import contextlib
import shutil
import socket
import tempfile
import unittest.mock
from pathlib import Path

from admin.freeradius import files as raddb_files
from admin.freeradius import install, program
from tests.radius_client import RadiusClient
from tests.stack.freeradius import FreeRadius
from tests.stack.ports import free_ports

HOSTILE = Path(__file__).parent / "acceptance" / "hostile"
# The address at which the other module has a NAS that signs its packets.
NAS = "127.0.0.2"
PIN = "0123456789"
# After this time a test takes it that no answer comes; otherwise the server answers within milliseconds.
SILENCE_SECONDS = 1


class Host:
    """radiusd with `module`, a file of tests/acceptance/hostile; `choice` as for an installation."""

    def __init__(self, module: str, *, time_zone: str = "UTC", **choice):
        self.folder = Path(tempfile.mkdtemp(prefix="prepaid-host-"))
        auth_port, acct_port = free_ports(2)
        self.server = FreeRadius(
            self.folder,
            auth_port=auth_port,
            acct_port=acct_port,
            # FreeRADIUS delays a refusal by a second; the tests are refused often.
            options={"reject_delay": "0"},
            dies_with_parent=True,
        )
        self.server.daemon.env["TZ"] = time_zone
        self.server.copy_distribution()
        self.choice = raddb_files.Choice(
            python_path=str(HOSTILE),
            option_file=str(self.folder / "prepaid.cnf"),
            addresses=("127.0.0.1",),
            auth_port=auth_port,
            acct_port=acct_port,
            instances=raddb_files.instances_for(program.freeradius_version(), choice.pop("instances", None)),
            **choice,
        )
        texts = raddb_files.files(self.choice, program.template)
        modules = "mods-available/prepaid"
        texts[modules] = texts[modules].replace("freeradius_module.hooks", module)
        install.write_files(self.server.raddb, texts, keep=[])
        install.write_links(self.server.raddb, self.choice)
        install.make_certificates(self.server.raddb)
        install.make_queue(self.server.raddb, self.choice)

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_exception):
        self.server.stop()
        shutil.rmtree(self.folder)

    # --- A NAS ---------------------------------------------------------------------------------------------

    def login(self, user, pin=PIN, **options):
        # One NAS for all tests, so that FreeRADIUS looks it up once.
        options = {"nas_ip": NAS} | options
        return self.nas.login(user, pin, **options)

    def report(self, user, **options):
        session = self.nas.session(user, nas_ip=NAS)
        return self.nas.report(session, "Interim-Update", seconds=300, **options)

    @property
    def nas(self) -> RadiusClient:
        return RadiusClient(self.server.auth_port, self.server.acct_port)

    @contextlib.contextmanager
    def raw_answers(self):
        """The bytes of every answer, because pyrad cannot read some of them."""
        answers = []

        class Recording(socket.socket):
            def recv(self, *arguments):
                answers.append(super().recv(*arguments))
                return answers[-1]

        with unittest.mock.patch("socket.socket", Recording):
            yield answers

    # --- What it wrote ---------------------------------------------------------------------------------------

    def log(self) -> str:
        return self.server.log_since_mark()

    def file(self, name: str) -> str:
        path = self.server.log_file.parent / name
        return path.read_text() if path.exists() else ""
