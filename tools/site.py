"""Build the site of the pages into var/site: `make docs`.

The pages are copied with their paths in the checkout, because links lead from docs/ to pages in other folders.  MkDocs
is strict: a broken link, an unknown heading and a page that is not in `nav` of mkdocs.yml fail.  So does a page that would
load something from another host.
"""

import html.parser
import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
SOURCES = CHECKOUT / "var" / "site-pages"
SITE = CHECKOUT / "var" / "site"

# Pages outside docs/.
OTHERS = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "raddb-config/README.md",
    "sql/migrations/README.md",
    "tests/README.md",
    "tests/mistakes.md",
)
# Files that are not pages: man pages are made from the same help as docs/commands.md.
LEFT_OUT = ("docs/man",)


def main() -> int:
    copy_pages()
    # Else the theme advertises on every build.
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    # Not --quiet: it hides the warnings from strict mode, too.
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--clean"],
        cwd=CHECKOUT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    if built.returncode != 0:
        print(*(line for line in built.stderr.splitlines() if not line.startswith("INFO")), sep="\n", file=sys.stderr)
        return built.returncode
    foreign = [
        f"{page.relative_to(SITE)}: {url}" for page in sorted(SITE.rglob("*.html")) for url in loaded_from_others(page)
    ]
    if foreign:
        print("make docs: these pages load files from other hosts:", *foreign, sep="\n  ", file=sys.stderr)
        return 1
    print(f"{SITE / 'index.html'}")
    return 0


def pages() -> list[str]:
    """The pages of the site, by their path in the checkout."""
    found = [path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "docs").rglob("*.md")]
    return sorted([*OTHERS, *found])


def copy_pages() -> None:
    shutil.rmtree(SOURCES, ignore_errors=True)
    left_out = [CHECKOUT / name for name in LEFT_OUT]
    shutil.copytree(
        CHECKOUT / "docs",
        SOURCES / "docs",
        ignore=lambda folder, names: [name for name in names if Path(folder, name) in left_out],
    )
    for name in OTHERS:
        (SOURCES / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, SOURCES / name)


def loaded_from_others(page: Path) -> list[str]:
    """The addresses on other hosts from which a page loads scripts, styles, pictures or fonts."""
    finder = Loaded()
    finder.feed(page.read_text(encoding="utf-8"))
    return [url for url in finder.urls if url.startswith(("http:", "https:", "//"))]


class Loaded(html.parser.HTMLParser):
    """What a browser loads for a page; links that a reader may follow are not loaded.

    >>> finder = Loaded()
    >>> finder.feed('<a href="https://a.example"></a><img src="//b.example/x.png"><link rel="icon" href="x.png">')
    >>> finder.urls
    ['//b.example/x.png', 'x.png']
    """

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (name in ("src", "srcset", "poster", "data") or (tag == "link" and name == "href")):
                self.urls.append(value)


if __name__ == "__main__":
    sys.exit(main())
