"""With a spool, the database goes away and comes back: what was acknowledged meanwhile is charged once.

Killed, stopped, and away from before radiusd's start; the charger is killed beside it, and the whole spool is replayed
at the end a second time.
"""

import shutil

from .campaign import Campaign, run
from .results import Row


def campaign(short: bool) -> Row:
    times = 2 if short else 10
    with Campaign("spool", settings={"spool": ""}) as servers:
        spooled = 0
        for number in range(times):
            servers.load_for(1_000)
            if number % 2:
                servers.stack.mariadb.stop()
            else:
                servers.stack.mariadb.kill()
            # Sessions that run go on to be acknowledged; a login has no answer.
            before = servers.customers.acknowledged
            servers.load_seconds(3)
            spooled += servers.customers.acknowledged - before
            servers.charger.kill()
            if number % 3 == 1:
                servers.stack.freeradius.kill()
                servers.stack.freeradius.start()
            keep(servers)
            servers.charger.start(lambda: True)
            servers.stack.mariadb.start()
        servers.load_for(1_000)
        servers.customers.stop()
        servers.drain()
        replay(servers)
        if spooled == 0:
            servers.fail("nothing was spooled")
        return servers.verdict(f"{spooled} acknowledged while the database was away")


def keep(servers: Campaign) -> None:
    """A copy of what waits, for the replay."""
    folder = servers.folder / "kept"
    folder.mkdir(exist_ok=True)
    for path in [*servers.spool.glob("queue"), *servers.spool.glob("*.work")]:
        shutil.copyfile(path, folder / str(len(list(folder.iterdir()))))


def replay(servers: Campaign) -> None:
    """All of it once more, the newest first."""
    queue = servers.spool / "queue"
    for path in sorted((servers.folder / "kept").iterdir(), key=lambda path: int(path.name), reverse=True):
        servers.drain()
        unfinished = servers.spool / "again"
        shutil.copyfile(path, unfinished)
        unfinished.rename(queue)
    servers.drain()


if __name__ == "__main__":
    run(campaign)
