"""prepaid completion: commands and options completed by the shell."""

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from .command import cli

SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@cli.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion(shell: str) -> None:
    """Print the script that lets a shell complete commands, options and names.

    \b
    Example:
        prepaid completion bash > /etc/bash_completion.d/prepaid
        prepaid completion zsh > /usr/local/share/zsh/site-functions/_prepaid
        prepaid completion fish > ~/.config/fish/completions/prepaid.fish
    """
    script = SHELLS[shell](cli, {}, "prepaid", "_PREPAID_COMPLETE").source()
    # Names contain spaces, and click's script for bash would offer each word of a name separately.
    click.echo(script.replace("COMPREPLY+=($value)", """COMPREPLY+=("$(printf '%q' "$value")")"""))
