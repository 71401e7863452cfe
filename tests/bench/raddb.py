"""Changes to a copy of the stock raddb, as an administrator would make them.

Every change names the text that it replaces and fails if that text is missing, so that a stock file of another version
cannot change the bench without notice.
"""

from pathlib import Path

from admin.freeradius.certificates import certificates

CLIENT = """
client bench {{
	ipaddr = 127.0.0.1
	secret = {secret}
	nas_type = other
	require_message_authenticator = yes
}}
"""

LISTENERS = """
	listen {{
		type = auth
		ipaddr = 127.0.0.1
		port = {auth_port}
	}}
	listen {{
		type = acct
		ipaddr = 127.0.0.1
		port = {acct_port}
	}}
"""


def enable_eap(made: Path):
    """Enable EAP as Debian ships it; the private copies of tests.stack leave it out.

    Only root can read Debian's key of the machine, so EAP gets another one.  EAP also needs the inner site, without its
    listener, which is for tests and would use a port.
    """
    for name, content in certificates("bench").items():
        (made / "certs" / name).write_bytes(content)
    change(
        made / "mods-available/eap",
        ("/etc/ssl/private/ssl-cert-snakeoil.key", "${certdir}/server.key"),
        ("/etc/ssl/certs/ssl-cert-snakeoil.pem", "${certdir}/server.pem"),
    )
    (made / "mods-enabled/eap").symlink_to("../mods-available/eap")
    inner = made / "sites-available/inner-tunnel"
    inner.write_text(without_blocks(inner.read_text(), "listen {"))
    (made / "sites-enabled/inner-tunnel").symlink_to("../sites-available/inner-tunnel")


def change(file: Path, *replacements: tuple[str, str]):
    """Replace texts that each occur exactly once."""
    file.write_text(changed(file.read_text(), replacements, str(file)))


def change_section(file: Path, section: str, *replacements: tuple[str, str]):
    """Replace texts that each occur exactly once in one section of a site."""
    before, inside, after = split(file.read_text(), section)
    file.write_text(before + changed(inside, replacements, f"{file}, section {section},") + after)


def remove_lines(file: Path, section: str, *lines: str):
    """Remove modules from a section of a site; not every version names all of them."""
    before, inside, after = split(file.read_text(), section)
    kept = [line for line in inside.splitlines(keepends=True) if line.strip() not in lines]
    file.write_text(before + "".join(kept) + after)


def changed(content: str, replacements, where: str) -> str:
    """
    >>> changed("a b", [("b", "c")], "x")
    'a c'
    >>> changed("a b b", [("b", "c")], "x")
    Traceback (most recent call last):
        ...
    ValueError: x has 'b' 2 times, not once; it is not the stock file that the bench knows.
    """
    for old, new in replacements:
        if content.count(old) != 1:
            raise ValueError(
                f"{where} has {old.strip()!r} {content.count(old)} times, not once; "
                "it is not the stock file that the bench knows."
            )
        content = content.replace(old, new)
    return content


def split(site: str, section: str) -> tuple[str, str, str]:
    """A site, split into the text before a section's content, the content, and the rest.

    >>> split("authorize {\\n\\tsql\\n}\\nsession {\\n\\tok\\n}\\n", "session")
    ('authorize {\\n\\tsql\\n}\\nsession {', '\\n\\tok\\n', '}\\n')
    """
    start = f"\n{section} {{"
    opening = site.find(start) + len(start)
    closing = site.find("\n}\n", opening) + 1
    if opening < len(start) or closing < 1:
        raise ValueError(f"The site has no section {section}; it is not the stock file that the bench knows.")
    return site[:opening], site[opening:closing], site[closing:]


def without_blocks(text: str, opening: str) -> str:
    """A configuration without the blocks whose first line begins with this text.

    >>> without_blocks("server x {\\n\\tlisten {\\n\\t\\tlimit {\\n\\t\\t}\\n\\t}\\n\\tok\\n}\\n", "listen {")
    'server x {\\n\\tok\\n}\\n'
    """
    kept, depth = [], 0
    for line in text.splitlines(keepends=True):
        code = line.partition("#")[0].strip()
        if depth:
            depth += code.count("{") - code.count("}")
        elif code == opening:
            depth = 1
        else:
            kept.append(line)
    return "".join(kept)
