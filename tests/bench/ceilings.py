"""The ceilings: how fast the server and its Python are when there is no database at all.

`Files` answers from rlm_files, the users in memory.  `Python` calls a function that accepts everybody.
What a side loses against them is the price of its own work; the load generator is bounded by them too.
"""

from pathlib import Path

from . import raddb
from .cards import card
from .load import Endpoint
from .servers import Radiusd

MOST_USERS = 100_000  # rlm_files reads its users at every start

FILES_SITE = """
server default {{
	{listen}
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
	{listen}
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

    def __init__(self, endpoint: Endpoint, threads: int):
        self.endpoint = endpoint
        self.threads = threads

    def start(self, folder: Path, cards: int, history: int):
        folder.mkdir(parents=True, exist_ok=True)
        made = raddb.copy(folder, self.endpoint, self.threads)
        self.fill(made, folder, cards)
        self.radiusd = Radiusd(made, raddb.log(folder))
        self.radiusd.start()

    def pids(self) -> dict[str, list[int]]:
        return {"radiusd": [self.radiusd.process.pid], "mariadbd": []}

    def drain(self):
        """Nothing is recorded, so nothing waits."""

    def stop(self):
        self.radiusd.stop()


class Files(Ceiling):
    name = "ceiling_files"

    def fill(self, made: Path, folder: Path, cards: int):
        users = made / "mods-config/files/authorize"
        with open(users, "w", encoding="ascii") as file:
            for number in range(min(cards, MOST_USERS)):
                serial, pin, _, _ = card(number)
                file.write(f'{serial} Cleartext-Password := "{pin}"\n\tSession-Timeout := 3600\n\n')
        write_site(made, FILES_SITE.format(listen=raddb.listen(self.endpoint)))


class Python(Ceiling):
    name = "ceiling_python"

    def fill(self, made: Path, folder: Path, cards: int):
        (folder / "bench_ceiling.py").write_text(PYTHON_FUNCTIONS)
        (made / "mods-enabled/python3").unlink(missing_ok=True)
        (made / "mods-enabled/python3").write_text(PYTHON_MODULE.format(folder=folder))
        write_site(made, PYTHON_SITE.format(listen=raddb.listen(self.endpoint)))


def write_site(made: Path, site: str):
    """Make this the only site, with the modules it names."""
    for module in (made / "mods-enabled").iterdir():
        if module.name not in ("always", "expr", "files", "pap", "python3"):
            module.unlink()
    (made / "sites-enabled/default").unlink()
    (made / "sites-enabled/default").write_text(site)
