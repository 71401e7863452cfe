"""kill -9 of mariadbd under load: 20 times within 200,000 acknowledged packets (short: 3 within 6,000)."""

from .campaign import Campaign, run
from .results import Row


def campaign(short: bool) -> Row:
    times, packets = (3, 6_000) if short else (20, 200_000)
    with Campaign("kill of mariadbd") as servers:
        for _ in range(times):
            servers.load_for(packets // (times + 1))
            servers.stack.mariadb.kill()
            servers.stack.mariadb.start()
        servers.load_for(packets // (times + 1))
        return servers.verdict(f"{times} times")


if __name__ == "__main__":
    run(campaign)
