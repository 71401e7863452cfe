"""What the acceptance tests share."""

import pytest

from tests.acceptance.doctoring import doctor, options  # noqa: F401


@pytest.fixture
def known_nas(shop, radius, wait_until):
    """NAS of these vendors, which radiusd knows already: `mikrotik, chilli = known_nas("mikrotik", "chilli")`."""

    def known_nas(*vendors):
        addresses = [shop.nas(vendor) for vendor in vendors]
        # radiusd reads all rows at once: if it knows the last NAS, it knows the others.
        probe = shop.nas("mikrotik")
        # A new session each time, because its NAS may be another one for radiusd by then.
        (card,) = shop.sell(1, credit_seconds=86_400, max_sessions=255, speed_down_kbit=1000, speed_up_kbit=1000)
        # None: there was no answer, because the address is not known yet.
        wait_until(lambda: "Mikrotik-Rate-Limit" in (radius.login(card.serial, card.pin, nas_ip=probe) or ()))
        return addresses

    return known_nas
