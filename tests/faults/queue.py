"""With a queue, the database goes away and comes back: what was acknowledged meanwhile is charged once.

The database is killed, stopped, or away before radiusd starts; the charger is killed too; at the end the whole queue is
replayed a second time.
"""

import shutil

from .campaign import Campaign, run
from .results import Row


def campaign(short: bool) -> Row:
    times = 2 if short else 10
    with Campaign("queue", settings={"queue": ""}) as servers:
        queued = 0
        for number in range(times):
            servers.load_for(1_000)
            if number % 2:
                servers.stack.mariadb.stop()
            else:
                servers.stack.mariadb.kill()
            # Accounting of open sessions is acknowledged; logins get no answer.
            before = servers.customers.acknowledged
            servers.load_seconds(3)
            queued += servers.customers.acknowledged - before
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
        if queued == 0:
            servers.fail("nothing was queued")
        return servers.verdict(f"{queued} acknowledged while the database was away")


def keep(servers: Campaign) -> None:
    """Copy what waits in the queue, for the replay."""
    folder = servers.folder / "kept"
    folder.mkdir(exist_ok=True)
    for path in [*servers.queue.glob("queue"), *servers.queue.glob("*.work")]:
        shutil.copyfile(path, folder / str(len(list(folder.iterdir()))))


def replay(servers: Campaign) -> None:
    """Charge all of it once more, the newest first."""
    queue = servers.queue / "queue"
    for path in sorted((servers.folder / "kept").iterdir(), key=lambda path: int(path.name), reverse=True):
        servers.drain()
        unfinished = servers.queue / "again"
        shutil.copyfile(path, unfinished)
        unfinished.rename(queue)
    servers.drain()


if __name__ == "__main__":
    run(campaign)
