"""mkdocs.yml lists every page once, and the pages in Portuguese show the same commands as those in English."""

import re
from pathlib import Path

import pytest
import yaml

from tools import site

CHECKOUT = Path(__file__).resolve().parents[2]
NAV = yaml.safe_load((CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
MOST_BYTES = 150_000
TRANSLATED = sorted(path.name for path in (CHECKOUT / "docs" / "pt").glob("*.md") if path.name != "README.md")


def test_every_page_is_in_the_nav_once() -> None:
    assert sorted(pages_of(NAV)) == site.pages()


def pages_of(nav: object) -> list[str]:
    match nav:
        case str():
            return [nav]
        case list():
            return [page for entry in nav for page in pages_of(entry)]
        case dict():
            return [page for entry in nav.values() for page in pages_of(entry)]
    raise AssertionError(nav)


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_page_in_portuguese_shows_the_commands_of_the_english_one(name: str) -> None:
    english, portuguese = CHECKOUT / "docs" / name, CHECKOUT / "docs" / "pt" / name
    assert commands_of(portuguese) == commands_of(english)
    # Its own headings, as many on each level.
    assert headings_of(portuguese) == headings_of(english)


def commands_of(path: Path) -> list[str]:
    """The commands of a page in their order, with the names of their options: `prepaid deliver --partner --batch`."""
    found = re.findall(r"^ {4}(?:\$ )?(prepaid [^\n#]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [" ".join([*re.findall(r"^prepaid [a-z]+", each), *re.findall(r"--[a-z-]+", each)]) for each in found]


def headings_of(path: Path) -> list[str]:
    return re.findall(r"^#+ ", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_each_picture_is_small_and_on_a_page_of_its_language() -> None:
    shown = {
        (page.parent / target).resolve(): page.parent.name == "pt"
        for page in [CHECKOUT / "README.md", *(CHECKOUT / "docs").rglob("*.md")]
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    }
    pictures = sorted((CHECKOUT / "docs" / "pictures").iterdir())
    assert sorted(shown) == pictures
    for picture in pictures:
        assert picture.stat().st_size < MOST_BYTES, picture.name
        assert shown[picture] == picture.name.endswith(".pt_BR.png"), picture.name
