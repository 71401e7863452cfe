"""kill -9 of the shared engine under load: 20 times within 100,000 acknowledged packets (short: 5 within 6,000)."""

import re

from .campaign import Campaign, run
from .results import Row


def campaign(short: bool) -> Row:
    times, packets = (5, 6_000) if short else (20, 100_000)
    with Campaign("kill of the engine", settings={"engine": ""}) as servers:
        for number in range(times):
            servers.wait_until(servers.is_engine_used)
            servers.load_for(packets // (times + 1))
            servers.engine.kill()
            if number % 2:
                # FreeRADIUS decides by itself for a while.
                servers.load_for(packets // (times + 1) // 2)
            servers.start_engine()
        servers.wait_until(servers.is_engine_used)
        servers.load_for(packets // (times + 1))
        row = servers.verdict(f"{times} times")
        servers.engine.stop()
        said = servers.engine.last_lines()
        if not re.search(r"Decided [1-9]\d* logins and charged [1-9]\d* packets\.", said):
            servers.fail(f"the last engine had nothing to do: {said}")
        return row._replace(failed=len(servers.failures))


if __name__ == "__main__":
    run(campaign)
