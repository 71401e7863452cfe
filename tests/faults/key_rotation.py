"""A key is added, every PIN is sealed again, and the old key is retired, under load: no login fails.

The short form omits the last step, which is refused for a minute after the one before.
"""

from .campaign import Campaign, run
from .results import Row

CARDS_IN_STOCK = 20_000
RETIRE_SECONDS = 61


def campaign(short: bool) -> Row:
    times = 1 if short else 5
    with Campaign("key rotation") as servers:
        # Enough that sealing them again takes a while.
        servers.shop.stock(CARDS_IN_STOCK // 10 if short else CARDS_IN_STOCK)
        refused_before = servers.customers.refused
        for number in range(1, times + 1):
            servers.load_for(1_000)
            servers.stack.prepaid("key", "add")
            servers.load_for(500)
            servers.stack.prepaid("key", "rotate", "--yes")
            servers.load_for(500)
            ((left,),) = servers.sql("SELECT COUNT(*) FROM card WHERE key_number = %s", (number,))
            if left:
                servers.fail(f"{left} cards are sealed with key {number} after the rotation")
            if short:
                continue
            servers.load_seconds(RETIRE_SECONDS)
            servers.stack.prepaid("key", "retire", str(number), "--yes")
            servers.load_for(500)
        # There was no fault here, so no login may be refused or get no answer.
        if servers.customers.refused > refused_before:
            servers.fail(f"{servers.customers.refused - refused_before} logins were refused")
        return servers.verdict(f"{times} keys")


if __name__ == "__main__":
    run(campaign)
