"""Start or stop the private stack of this checkout: `python -m tests.stack up|down`.

Folder and ports come from the environment (VAR, AUTH_PORT, ACCT_PORT); the Makefile sets it.
"""

import os
import sys
from pathlib import Path

from tests.stack import Stack, StackError
from tests.stack.stack import SECRET


def main(arguments: list[str]) -> int:
    verbs = {"up": up, "down": down}
    if len(arguments) != 1 or arguments[0] not in verbs:
        print("Usage: python -m tests.stack up|down", file=sys.stderr)
        return 2
    try:
        verbs[arguments[0]](stack_of_environment())
    except StackError as error:
        print(f"make {arguments[0]}: {error}", file=sys.stderr)
        return 1
    return 0


def stack_of_environment() -> Stack:
    return Stack(
        Path(os.environ.get("VAR", "var")),
        auth_port=int(os.environ.get("AUTH_PORT", "11812")),
        acct_port=int(os.environ.get("ACCT_PORT", "11813")),
        # The default language of what the customer reads is Portuguese; the demo is in English.
        settings={"lang": "en"},
    )


def up(stack: Stack) -> None:
    was_up = stack.is_up()
    stack.up()
    radius = stack.freeradius
    print("The stack was up already; nothing was changed." if was_up else "The stack is up.")
    print(
        f"  FreeRADIUS   127.0.0.1, authentication {radius.auth_port}, accounting {radius.acct_port}, secret {SECRET}"
    )
    print(f"  MariaDB      {stack.mariadb.socket}")
    print(f"  The office   {Path(sys.executable).with_name('prepaid')} --config {stack.option_file} --help")
    print(f"  Logs         {stack.folder / 'log'}")
    print("Stop it with 'make down'.")


def down(stack: Stack) -> None:
    stack.down()
    print(f"The stack is down; its data stays in {stack.folder}.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
