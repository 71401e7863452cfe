"""mariadbd hangs (SIGSTOP) for 10 seconds: 5 times (short: once, for 4).  It may have executed what it did not answer."""

from .campaign import Campaign, run
from .results import Row


def campaign(short: bool) -> Row:
    times, seconds = (1, 4) if short else (5, 10)
    with Campaign("mariadbd hangs") as servers:
        for _ in range(times):
            servers.load_for(1_000 if short else 5_000)
            servers.stack.mariadb.daemon.suspend()
            servers.load_seconds(seconds)
            servers.stack.mariadb.daemon.resume()
        servers.load_for(1_000)
        return servers.verdict(f"{times} times {seconds} s")


if __name__ == "__main__":
    run(campaign)
