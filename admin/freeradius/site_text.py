"""Lines of ours in a virtual server of the administrator's.  This module reads and writes no files.

A server gets one block of lines at the beginning of each section that `sections` names, between two marks.  A section that the
server lacks is added at its end, whole, between the same marks.  Taking the blocks out gives the text back byte for byte,
whatever else was edited since.

Texts are decoded as Latin-1, so that every octet is kept.

>>> before = "server default {\\nauthorize {\\n\\tfiles # ours\\n}\\n}\\n"
>>> after = put_in(before, "default", {("authorize",): "${confdir}/prepaid.d/authorize"})
>>> print(after.expandtabs(4), end="")
server default {
authorize {
    # begin of prepaid cards; 'prepaid raddb remove' takes these lines out
    $INCLUDE ${confdir}/prepaid.d/authorize
    # end of prepaid cards
    files # ours
}
}
>>> take_out(after) == before and take_out(before) == before
True
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..shell import errors
from ..shell.text import _

BEGIN = "# begin of prepaid cards; 'prepaid raddb remove' takes these lines out"
END = "# end of prepaid cards"

# The way to a section inside the server: ("post-auth", "Post-Auth-Type REJECT").
Way = tuple[str, ...]

_BEGINS = re.compile(r"[ \t]*# begin of prepaid cards\b")
_ENDS = re.compile(r"[ \t]*# end of prepaid cards\b")
# What a block of ours consists of.
_OURS = re.compile(r"[ \t]*(?:\$INCLUDE[ \t]+\S*prepaid\.d/\S+|[\w-]+(?:[ \t]+\w+)?[ \t]*\{|\}|)[ \t]*\r?\n?")
# A comment, text in quotes, a regular expression, a reference.  What is left are the words and braces of a line.
_NO_CODE = re.compile(
    r"""(?:(?<=\s)|(?<=[{}])|^)\#.*$                 # a comment
    | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | `(?:\\.|[^`\\])*`
    | (?<==~)\s*/(?:\\.|[^/\\])*/\w* | (?<=!~)\s*/(?:\\.|[^/\\])*/\w*
    | [%$]\{(?:[^{}]|\{[^{}]*\})*\}""",
    re.VERBOSE,
)


class Section(NamedTuple):
    """A section of a text, by the numbers of its first and last lines, which have its braces."""

    way: Way
    first: int
    last: int
    is_plain: bool  # nothing follows the opening brace on its line, and nothing precedes the closing one


def put_in(text: str, site: str, sections: dict[Way, str]) -> str:
    """The text with a block for each of these sections, which includes the file that is given.

    Raises Refused if the text is not understood, and says why.
    """
    lines = take_out(text, site).splitlines(keepends=True)
    found = list(_sections(lines, site))
    server = _server(found, site)
    inside = {
        tuple(word.lower() for word in section.way[len(server.way) :]): section
        for section in found
        if section.way[: len(server.way)] == server.way and section is not server
    }
    _check_is_whole(lines, found, server, inside, sections, site)
    blocks: dict[int, list[str]] = {}
    added: dict[Way, list[str]] = {}
    for way, included in sections.items():
        section = inside.get(tuple(word.lower() for word in way))
        if section is not None:
            blocks[section.first + 1] = [f"$INCLUDE {included}"]
        elif len(way) == 1:
            added[way] = [f"{way[0]} {{", f"\t$INCLUDE {included}", "}"]
        elif way[:1] in added:
            added[way[:1]][-1:-1] = [f"\t{way[1]} {{", f"\t\t$INCLUDE {included}", "\t}"]
        else:
            # At the end of the section that would contain it.
            last = inside[tuple(word.lower() for word in way[:1])].last
            blocks[last] = [f"{way[1]} {{", f"\t$INCLUDE {included}", "}"]
    if added:
        blocks[server.last] = [line for section_lines in added.values() for line in section_lines]
    for at in sorted(blocks, reverse=True):
        end = "\r\n" if lines[at - 1].endswith("\r\n") else "\n"
        lines[at:at] = [f"\t{line}{end}" for line in (BEGIN, *blocks[at], END)]
    return "".join(lines)


def take_out(text: str, site: str = "") -> str:
    """The text without our blocks.  Raises Refused if a mark is missing or a line between the marks is not ours."""
    kept, begun, foreign = [], 0, 0
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        if _BEGINS.match(line):
            if begun:
                raise _marks_are_damaged(site, begun)
            begun = number
        elif _ENDS.match(line):
            if not begun:
                raise _marks_are_damaged(site, number)
            if foreign:
                raise errors.Refused(
                    _(
                        "Line {line} of the site {site} is between the marks of prepaid cards, and is not of prepaid cards. Move "
                        "it below the line '{end}'."
                    ),
                    line=foreign,
                    site=site,
                    end=END,
                )
            begun = 0
        elif not begun:
            kept.append(line)
        elif not foreign and not _OURS.fullmatch(line):
            foreign = number
    if begun:
        raise _marks_are_damaged(site, begun)
    return "".join(kept)


def calls(text: str, site: str, way: Way) -> list[str]:
    """The first words of the lines in a section and in the sections in it: the modules that it calls.

    >>> text = "server a {\\n authorize {\\n  chap\\n  inner-eap {\\n   ok = return\\n  }\\n  -sql\\n }\\n}\\n"
    >>> calls(text, "a", ("authorize",))
    ['chap', 'inner-eap', 'ok', '-sql']
    """
    lines = text.splitlines(keepends=True)
    found = list(_sections(lines, site))
    wanted = tuple(word.lower() for word in (*_server(found, site).way, *way))
    words = []
    for section in found:
        if tuple(word.lower() for word in section.way) == wanted:
            for line in lines[section.first + 1 : section.last]:
                if word := re.match(r"\s*([\w.-]+)", _NO_CODE.sub("", line)):
                    words.append(word[1])
    return words


def server_name(text: str, site: str) -> str:
    """The name of the virtual server in a site's file.

    >>> server_name("server default {\\n}\\n", "default")
    'default'
    """
    way = _server(list(_sections(text.splitlines(keepends=True), site)), site).way
    return " ".join(way[0].split()[1:])


def settings(text: str, name: str) -> set[str]:
    """The values of every line `name = value` that is no comment.

    >>> sorted(settings('virtual_server = "a" # x\\n# virtual_server = b\\nvirtual_server = c\\n', "virtual_server"))
    ['a', 'c']
    """
    found = re.findall(rf"(?mi)^[ \t]*{name}[ \t]*=[ \t]*(?:\"([^\"]*)\"|'([^']*)'|([^\s#\"'{{}}]+))", text)
    return {value for values in found for value in values if value}


def has_setting(text: str, section: tuple[str], name: str, values: tuple[str, ...] = ()) -> bool:
    """Whether a section of this kind has a line `name = value`, with one of these values if they are given.

    >>> text = "client x {\\n ipaddr = 0.0.0.0/0\\n}\\nlisten {\\n ipaddr = *\\n}\\n"
    >>> has_setting(text, ("client",), "ipaddr", ("*",)), has_setting(text, ("client",), "ipaddr", ("0.0.0.0/0",))
    (False, True)
    """
    for inside in texts(text, *section):
        there = settings(inside, name)
        if there & set(values) if values else there:
            return True
    return False


def texts(text: str, kind: str) -> list[str]:
    """What is between the braces of every section of this kind."""
    lines = text.splitlines(keepends=True)
    return [
        "".join(lines[found.first + 1 : found.last])
        for found in _sections(lines, "-")
        if found.way[-1].split()[:1] == [kind]
    ]


def _server(found: list[Section], site: str) -> Section:
    """The site's virtual server: the only one, or the one of that name."""
    servers = [section for section in found if len(section.way) == 1 and section.way[0].split()[0] == "server"]
    named = [section for section in servers if section.way[0].split()[1:] == [site]]
    if len(servers) == 1:
        return servers[0]
    if len(named) == 1:
        return named[0]
    raise errors.Refused(
        _(
            "The site {site} has {count} sections 'server NAME {{ … }}', and none or several are named {site}. Cards are put "
            "into a file with one virtual server."
        ),
        site=site,
        count=len(servers),
    )


def _check_is_whole(
    lines: list[str],
    found: list[Section],
    server: Section,
    inside: dict[Way, Section],
    sections: dict[Way, str],
    site: str,
) -> None:
    """Refuse a text in which a line of ours could end up in a wrong place, or never be read."""
    for way in sections:
        lower = tuple(word.lower() for word in way)
        twice = [one for one in found if tuple(word.lower() for word in one.way[len(server.way) :]) == lower]
        twice = [one for one in twice if one.way[: len(server.way)] == server.way]
        if len(twice) > 1:
            raise errors.Refused(
                _("The site {site} has the section {section} {count} times. Make one section of them."),
                site=site,
                section=" ".join(way),
                count=len(twice),
            )
    for section in (server, *(inside[way] for way in inside if way in _lower(sections))):
        if not section.is_plain:
            raise errors.Refused(
                _(
                    "The section {section} in line {line} of the site {site} has other words on the line of a brace. Put each "
                    "brace at the end of its line or on a line of its own."
                ),
                section=section.way[-1],
                line=section.first + 1,
                site=site,
            )
    if missing := [way for way in sections if tuple(word.lower() for word in way) not in inside]:
        parents = {section.first: section for section in (server, *inside.values())}
        for number in range(server.first, server.last):
            if re.match(r"\s*\$INCLUDE", lines[number], re.IGNORECASE):
                # Which section is this line in?
                around = max(
                    (one for one in parents.values() if one.first < number < one.last), key=lambda one: one.first
                )
                if around is server or (around.way[-1].lower() == "post-auth" and any(way[1:] for way in missing)):
                    raise errors.Refused(
                        _(
                            "The site {site} includes another file in line {line}, and has no section {section} of its own, so "
                            "that section may be in the other file. Put the sections of the virtual server into one file."
                        ),
                        site=site,
                        line=number + 1,
                        section=" ".join(missing[0]),
                    )


def _lower(sections: dict[Way, str]) -> set[Way]:
    return {tuple(word.lower() for word in way) for way in sections}


def _sections(lines: list[str], site: str) -> Iterator[Section]:
    """Every section of a text, each after the sections in it."""
    opened: list[tuple[Way, int, bool]] = []
    for number, line in enumerate(lines):
        code = _NO_CODE.sub(lambda found: "" if found[0].startswith("#") else "_", line.rstrip("\r\n"))
        if re.search(r"[\"'`]", code):
            raise _not_understood(site, number)
        words = ""
        for at, character in enumerate(code):
            if character == "{":
                name = " ".join(words.split())
                rest = code[at + 1 :].strip()
                opened.append(((*(opened[-1][0] if opened else ()), name), number, not rest))
                words = ""
            elif character == "}":
                if not opened:
                    raise _not_understood(site, number)
                way, first, is_plain = opened.pop()
                yield Section(way, first, number, is_plain and not words.strip() and first != number)
                words = ""
            else:
                words += character
    if opened:
        raise _not_understood(site, opened[-1][1])


def _not_understood(site: str, number: int) -> errors.Refused:
    return errors.Refused(
        _(
            "Line {line} of the site {site} is not understood: its quotes or braces do not match. Nothing was changed. Write "
            "each section on lines of its own, as Debian's sites do."
        ),
        line=number + 1,
        site=site,
    )


def _marks_are_damaged(site: str, number: int) -> errors.Refused:
    return errors.Refused(
        _(
            "In the site {site}, the mark of prepaid cards in line {line} has no counterpart. A block begins with '{begin}' and "
            "ends with '{end}'; add the missing line, or remove what is left of the block."
        ),
        site=site,
        line=number,
        begin=BEGIN,
        end=END,
    )
