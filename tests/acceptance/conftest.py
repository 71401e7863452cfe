"""What the acceptance tests share: cards made without the office's commands, and patience."""

import time

import pytest

from tests.shop import Shop

# How long a busy machine may take before a test gives up; no test takes it as a measure of anything.
PATIENCE_SECONDS = 30


@pytest.fixture
def shop(database, _unstarted_stack):
    return Shop(database, _unstarted_stack.key_file)


@pytest.fixture(scope="session")
def wait_until():
    """Ask again until the answer is true; the answer."""

    def wait_until(ask):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (answer := ask()):
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.05)
        return answer

    return wait_until


@pytest.fixture
def known_nas(shop, radius, wait_until):
    """NAS by their vendors that radiusd has heard of: `mikrotik, chilli = known_nas("mikrotik", "chilli")`."""

    def known_nas(*vendors):
        addresses = [shop.nas(vendor) for vendor in vendors]
        # It reads all rows at once: what it knows of this one, it knows of the others.
        probe = shop.nas("mikrotik")
        # Many sessions, because each time its NAS may be another one to radiusd.
        (card,) = shop.sell(1, credit_seconds=86_400, max_sessions=255, speed_down_kbit=1000, speed_up_kbit=1000)
        wait_until(lambda: "Mikrotik-Rate-Limit" in radius.login(card.serial, card.pin, nas_ip=probe))
        return addresses

    return known_nas
