"""What the shell completes after --product, --partner, --nas and --batch: the names that the database has.

While somebody presses the tabulator there is nobody to tell of an error: then nothing is offered.
"""

from collections.abc import Callable

import click
import pymysql
from click.shell_completion import CompletionItem

from .. import store
from . import errors
from .office import Office

# More than a screen is no help.
MOST = 200


def _names_by(listed: Callable, column: str, about: str | None = None):
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        office = Office(ctx.find_root().params["config"])
        try:
            with office.reading() as cursor:
                rows = listed(cursor)
        except (errors.OfficeError, pymysql.MySQLError):
            return []
        finally:
            office.close()
        # The shell's own completion looks at upper and lower case; people do not.
        found = [row for row in rows if str(row[column]).casefold().startswith(incomplete.casefold())]
        return [CompletionItem(str(row[column]), help=about and str(row[about])) for row in found[:MOST]]

    return complete


product = _names_by(store.product.listed, "name")
partner = _names_by(store.partner.listed, "name")
nas = _names_by(store.nas.listed, "name", "address")
batch = _names_by(store.batch.listed, "batch", "product")

# By the name of the option that takes it.
OF_OPTION = {"--product": product, "--partner": partner, "--nas": nas, "--batch": batch}
