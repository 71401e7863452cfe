"""A page of `prepaid list` costs a page, wherever it lies: what the server reads for it, counted at 100,000 cards."""

import itertools

import pytest

from admin import store
from admin.browse import query
from tests.shop import Shop

CARDS = 100_000
PAGE = 100
# A page of each status, and some more.
FEW_ROWS = 10 * PAGE
LATE = 2_000


@pytest.fixture
def shop(database, _unstarted_stack):
    """A great many cards in use; behind them those of a late product at a late partner, half delivered, half blocked."""
    shop = Shop(database, _unstarted_stack.key_file)
    (early,) = shop.sell(1)
    (shop.late,) = shop.sell(1)
    with database.connect() as connection, connection.cursor() as cursor:
        for card, count, letter, status in (
            (early, CARDS, "E", "'in_use'"),
            (shop.late, LATE, "L", "IF(seq MOD 2, 'delivered', 'blocked')"),
        ):
            cursor.execute(
                "INSERT INTO card (serial, pin_sealed, key_number, status, batch_id, product_id, partner_id)"
                f" SELECT CONCAT('{letter}', LPAD(seq, 9, '0')), 'sealed', 1, {status}, batch_id,"
                f" product_id, partner_id FROM seq_1_to_{count} JOIN card WHERE card.serial = '{card.serial}'"
            )
        cursor.execute("ANALYZE TABLE card PERSISTENT FOR ALL")
        cursor.fetchall()
    return shop


def test_a_page_far_down_is_read_by_key(shop, database):
    cards = database.query("SELECT id, status, product_id, partner_id FROM card ORDER BY id")
    late = shop.card(shop.late)
    far = database.value("SELECT MAX(id) FROM card") - LATE // 2
    for of, status, after in itertools.product(
        [("product_id",), ("partner_id",), ("product_id", "partner_id"), ()],
        [None, ["delivered"], ["blocked", "delivered", "created"]],
        [None, far],
    ):
        wanted = {"status": status, "limit": PAGE, "after_id": after, **{name: late[name] for name in of}}
        with database.connect() as connection, connection.cursor() as cursor:
            before = _rows_read(cursor)
            store.card.ids(cursor, wanted)
            found = [row["id"] for row in cursor.fetchall()]
            read = _rows_read(cursor) - before
        assert found == _page_of_all(cards, wanted) and len(found) == PAGE, wanted
        # A partner's page is sorted out of the partner's own cards.
        assert read < FEW_ROWS + (2 * LATE if "partner_id" in of else 0), wanted


@pytest.mark.parametrize("filters", [{"note": "JOAO"}, {"device": "02-00-5e-10-00-01"}, {"serial": "L00000"}])
@pytest.mark.parametrize("more", [{}, {"status": "delivered"}, {"made_from": "2001-01-01"}])
def test_a_search_on_the_screen_reads_few_cards(shop, database, filters, more):
    sought = ("L000000007", "L000000999")
    database.execute("UPDATE card SET note = 'Sr. João', device = '02-00-5E-10-00-01' WHERE serial IN (%s, %s)", sought)
    with database.connect() as connection, connection.cursor() as cursor:
        before = _rows_read(cursor)
        page = query.page(cursor, {**filters, **more}, None)
        read = _rows_read(cursor) - before
        found = [row["serial"] for row in page.rows]
        if "serial" in filters:
            assert len(found) == query.PAGE and not page.is_last and found == sorted(found)
            found += [row["serial"] for row in query.page(cursor, {**filters, **more}, page.rows[-1]).rows]
            assert len(set(found)) == 2 * query.PAGE
        else:
            assert found == list(sought) and page.is_last
    # The overview of a card reads ten rows or so.
    assert read < 10 * FEW_ROWS < CARDS


def _page_of_all(cards: list[dict], wanted: dict) -> list[int]:
    """The same page without a thought for its price."""
    return [
        card["id"]
        for card in cards
        if card["id"] > (wanted["after_id"] or 0)
        and card["status"] in (wanted["status"] or store.card.LISTED_STATUSES)
        and all(card[name] == wanted[name] for name in ("product_id", "partner_id") if name in wanted)
    ][:PAGE]


def _rows_read(cursor) -> int:
    cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
    return sum(int(row["Value"]) for row in cursor.fetchall())
