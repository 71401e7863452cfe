"""Completion of the values of --product, --partner, --nas and --batch: names that the database has.

An error offers no names: a message would appear in the middle of the line that the user is typing.
"""

from collections.abc import Callable

import click
import pymysql
from click.shell_completion import CompletionItem

from .. import store
from ..store.rows import Cursor, Row
from . import errors
from .office import Office

# More would not fit on a screen.
MOST = 200

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _names_by(listed: Callable[[Cursor], list[Row]], column: str, about: str | None = None) -> Complete:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        office = Office(ctx.find_root().params["config"])
        try:
            with office.reading() as cursor:
                rows = listed(cursor)
        except (errors.OfficeError, pymysql.MySQLError):
            return []
        finally:
            office.close()
        # Unlike the shell's own completion, this one ignores upper and lower case.
        found = [row for row in rows if str(row[column]).casefold().startswith(incomplete.casefold())]
        return [CompletionItem(str(row[column]), help=about and str(row[about])) for row in found[:MOST]]

    return complete


product = _names_by(store.product.listed, "name")
partner = _names_by(store.partner.listed, "name")
nas = _names_by(store.nas.listed, "name", "address")
batch = _names_by(store.batch.listed, "batch", "product")

# By the name of the option that takes it.
OF_OPTION = {"--product": product, "--partner": partner, "--nas": nas, "--batch": batch}
