"""prepaid completion: commands and options completed by the shell."""

import click
from click.shell_completion import get_completion_class

from .command import cli

SHELLS = ("bash", "zsh", "fish")


@cli.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell):
    """Print the script with which a shell completes commands, options and names.

    \b
    Example:
        prepaid completion bash > /etc/bash_completion.d/prepaid
        prepaid completion zsh > /usr/local/share/zsh/site-functions/_prepaid
        prepaid completion fish > ~/.config/fish/completions/prepaid.fish
    """
    script = get_completion_class(shell)(cli, {}, "prepaid", "_PREPAID_COMPLETE").source()
    # Names have blanks, and click's script for bash would offer each word of one for itself.
    click.echo(script.replace("COMPREPLY+=($value)", """COMPREPLY+=("$(printf '%q' "$value")")"""))
