"""A partner's credit limit: what it has unsold and owes never exceeds it, checked when cards are delivered."""

import pymysql
import pytest

from admin.shell.office import Office as AdminOffice
from tests.waiting import wait_for_locks

# Ten of these cards cost the partner 87.50.
PRODUCT = ("--time", "10m", "--price", "10.00", "--commission", "12.5")


@pytest.fixture
def shop(office):
    """A partner that may have ten cards."""
    office.must("partner", "add", "Banca", "--credit-limit", "87.50")
    return "Banca"


@pytest.fixture
def product(office):
    return office.product(*PRODUCT)


def deliver(office, shop, cards, *options):
    return office.run("deliver", "--partner", shop, "--range", f"{cards[0].serial}-{cards[-1].serial}", *options)


def use(database, *cards) -> None:
    """The first login of these cards."""
    for card in cards:
        database.execute(
            "UPDATE card SET status = 'in_use', first_login_at = UTC_TIMESTAMP(3) WHERE serial = %s", [card.serial]
        )


def account(database, shop) -> dict:
    return database.query(
        "SELECT account.* FROM partner_account AS account JOIN partner ON partner.id = account.partner_id WHERE name = %s",
        [shop],
    )[0]


def test_the_limit_is_shown_changed_and_removed(office, shop):
    assert office.json("partner", "show", shop)["credit_limit_cents"] == 8750
    assert office.json("partner", "edit", shop, "--credit-limit", "100")["credit_limit_cents"] == 10000
    assert office.json("partner", "edit", shop, "--contact", "Ana")["credit_limit_cents"] == 10000
    assert office.json("partner", "edit", shop, "--credit-limit", "none")["credit_limit_cents"] is None
    assert office.json("partner", "edit", shop, "--credit-limit", "0")["credit_limit_cents"] == 0
    assert office.json("partner", "add", "Other", "--credit-limit", "none")["credit_limit_cents"] is None


def test_the_last_cent_of_the_limit_may_be_used_and_no_more(office, shop, product):
    cards = office.stock(11, product=product)
    refused = deliver(office, shop, cards)
    assert refused.exit_status == 1
    assert "limit of Banca is R$ 87.50" in refused.stderr
    assert "owes R$ 0.00" in refused.stderr and "11 cards is R$ 96.25" in refused.stderr
    assert office.json("note", "list") == []
    assert deliver(office, shop, cards, "--dry-run").exit_status == 1
    assert deliver(office, shop, cards[:10]).exit_status == 0
    refused = deliver(office, shop, cards[10:])
    assert refused.exit_status == 1
    assert "unsold cards for R$ 87.50" in refused.stderr and "only R$ 0.00 is left" in refused.stderr


def test_a_sold_card_still_counts_until_it_is_paid(office, shop, product, database):
    cards = office.stock(12, product=product)
    assert deliver(office, shop, cards[:10]).exit_status == 0
    use(database, *cards[:4])
    refused = deliver(office, shop, cards[10:])
    assert "owes R$ 35.00" in refused.stderr and "unsold cards for R$ 52.50" in refused.stderr
    office.must("payment", "add", shop, "17.50", "--key", "k")
    assert deliver(office, shop, cards[10:]).exit_status == 0
    office.must("reconcile")


def test_a_return_makes_room_and_a_reversed_payment_takes_it(office, shop, product, database):
    cards = office.stock(14, product=product)
    assert deliver(office, shop, cards[:10]).exit_status == 0
    office.must("return", "--partner", shop, "--range", f"{cards[0].serial}-{cards[1].serial}")
    assert deliver(office, shop, cards[10:12]).exit_status == 0
    paid = office.json("payment", "add", shop, "17.50", "--key", "k")["payment"]
    office.must("payment", "reverse", paid, "--reason", "Bounced")
    assert deliver(office, shop, cards[12:]).exit_status == 1
    assert account(database, shop)["cards_cents"] == 8750
    office.must("reconcile")


def test_a_returned_card_is_credited_at_the_price_of_its_delivery(office, shop, product, database):
    cards = office.stock(10, product=product)
    assert deliver(office, shop, cards).exit_status == 0
    office.must("product", "edit", product, "--price", "50.00")
    office.must("return", "--partner", shop, "--range", f"{cards[0].serial}-{cards[9].serial}")
    assert account(database, shop)["cards_cents"] == 0


def test_cards_that_expired_unused_no_longer_count(office, shop, product, database):
    cards = office.stock(12, product=product)
    assert deliver(office, shop, cards[:10]).exit_status == 0
    for card in cards[:2]:
        database.execute("UPDATE card SET status = 'expired' WHERE serial = %s", [card.serial])
    assert deliver(office, shop, cards[10:]).exit_status == 0
    office.must("reconcile")


def test_a_partner_without_a_limit_receives_any_number(office, shop, product, database):
    office.must("partner", "edit", shop, "--credit-limit", "none")
    cards = office.stock(20, product=product)
    assert deliver(office, shop, cards[:19]).exit_status == 0
    # A limit that is set later counts what the partner already has.
    office.must("partner", "edit", shop, "--credit-limit", "170.00")
    assert deliver(office, shop, cards[19:]).exit_status == 1


def test_of_two_deliveries_at_the_same_moment_one_is_refused(office, shop, product, database):
    """Both have checked the limit before either delivers: the database itself refuses the second one."""
    one, other = office.stock(6, product=product), office.stock(6, product=product)
    shop_id = database.value("SELECT id FROM partner WHERE name = %s", [shop])
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute("SELECT 1 FROM partner_account WHERE partner_id = %s FOR UPDATE", [shop_id])
        running = [office.spawn("deliver", "--partner", shop, "--batch", cards[0].batch) for cards in (one, other)]
        wait_for_locks(database, 2)
        connection.rollback()
    words = [process.communicate()[1] for process in running]
    assert sorted(process.returncode for process in running) == [0, 1], words
    (refusal,) = [sentence for sentence in words if sentence]
    assert "unsold cards for R$ 52.50" in refusal and "6 cards is R$ 52.50" in refusal
    assert len(office.json("note", "list")) == 1
    assert account(database, shop)["cards_cents"] == 5250


def test_two_connections_cannot_pass_together(office, shop, product, database):
    """Plain statements of the office's account, as a person in the mysql shell would write them."""
    one, other = office.stock(6, product=product), office.stock(6, product=product)
    shop_id = database.value("SELECT id FROM partner WHERE name = %s", [shop])
    first, second = (AdminOffice(str(office.option_file)).connect("prepaid-admin") for _number in range(2))
    try:
        for connection in (first, second):
            with connection.cursor() as cursor:
                cursor.execute("SET innodb_lock_wait_timeout = 1")
            connection.begin()
            with connection.cursor() as cursor:
                # Each has an older view of the account than what the other one commits.
                cursor.execute("SELECT * FROM partner_account")
        _deliver_by_hand(first, shop_id, one[0].batch)
        with pytest.raises(pymysql.MySQLError, match="Lock wait timeout"):
            _deliver_by_hand(second, shop_id, other[0].batch)
        first.commit()
        with pytest.raises(pymysql.MySQLError, match="credit_limit_is_kept|Record has changed"):
            _deliver_by_hand(second, shop_id, other[0].batch)
        second.rollback()
    finally:
        first.close()
        second.close()
    assert account(database, shop)["cards_cents"] == 5250


def _deliver_by_hand(connection, shop_id: int, batch: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO note (kind, partner_id) VALUES ('delivery', %s)", [shop_id])
        cursor.execute(
            "UPDATE card SET status = 'delivered', partner_id = %s, delivery_note_id = %s WHERE batch_id = %s",
            [shop_id, cursor.lastrowid, batch],
        )
