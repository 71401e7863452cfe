"""The ceilings: the rates of FreeRADIUS and of its Python without any database.

`Files` answers from rlm_files, with the users in memory.  `Python` calls a function that accepts everybody.  The
difference between a side and its ceiling is the cost of the side's own work.
"""

from pathlib import Path

from . import raddb, servers
from .cards import card
from .load import Endpoint

MOST_USERS = 100_000  # rlm_files reads its users at every start

FILES_SITE = """
server default {{
	{listeners}
	authorize {{
		files
		pap
	}}
	authenticate {{
		Auth-Type PAP {{
			pap
		}}
	}}
	accounting {{
		ok
	}}
}}
"""

PYTHON_SITE = """
server default {{
	{listeners}
	authorize {{
		python3
	}}
	accounting {{
		python3
	}}
}}
"""

PYTHON_MODULE = """
python3 {{
	module = bench_ceiling
	python_path = "{folder}"
	mod_authorize = bench_ceiling
	func_authorize = authorize
	mod_accounting = bench_ceiling
	func_accounting = accounting
}}
"""

PYTHON_FUNCTIONS = '''"""The least that rlm_python3 can be asked to do."""

RLM_MODULE_OK = 2


def authorize(packet):
    return RLM_MODULE_OK, (), (("Auth-Type", "Accept"),)


def accounting(packet):
    return RLM_MODULE_OK
'''


class Ceiling:
    """A radiusd without a database."""

    def __init__(self, folder: Path, endpoint: Endpoint, threads: int):
        self.folder = folder
        self.endpoint = endpoint
        self.radiusd = servers.radiusd(folder, endpoint, threads)

    def start(self, cards: int, history: int):
        self.radiusd.copy_distribution()
        made = self.radiusd.raddb
        for module in (made / "mods-enabled").iterdir():
            if module.name not in ("always", "expr", "files", "pap"):
                module.unlink()
        (made / "clients.conf").write_text(raddb.CLIENT.format(secret=self.endpoint.secret.decode()))
        self.fill(made, cards)
        self.radiusd.start()

    def pids(self) -> dict[str, list[int]]:
        return {"radiusd": [servers.running_pid(self.radiusd.daemon)], "mariadbd": []}

    def drain(self):
        """There is no accounting to wait for."""

    def stop(self):
        self.radiusd.stop()

    def write_site(self, site: str):
        listeners = raddb.LISTENERS.format(**self.endpoint._asdict())
        (self.radiusd.raddb / "sites-enabled/default").write_text(site.format(listeners=listeners))


class Files(Ceiling):
    name = "ceiling_files"

    def fill(self, made: Path, cards: int):
        users = made / "mods-config/files/authorize"
        with open(users, "w", encoding="ascii") as file:
            for number in range(min(cards, MOST_USERS)):
                serial, pin, _, _ = card(number)
                file.write(f'{serial} Cleartext-Password := "{pin}"\n\tSession-Timeout := 3600\n\n')
        self.write_site(FILES_SITE)


class Python(Ceiling):
    name = "ceiling_python"

    def fill(self, made: Path, cards: int):
        (self.folder / "bench_ceiling.py").write_text(PYTHON_FUNCTIONS)
        (made / "mods-enabled/python3").write_text(PYTHON_MODULE.format(folder=self.folder))
        self.write_site(PYTHON_SITE)
