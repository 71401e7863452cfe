"""Compiles the translations (.po to .mo) when the distribution is built: git has their sources only."""

from pathlib import Path

from babel.messages import mofile, pofile
from setuptools.command.build_py import build_py


class BuildPy(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for source in Path("admin/locale").glob("*/LC_MESSAGES/*.po"):
            compiled = Path(self.build_lib, source).with_suffix(".mo")
            with open(source, encoding="utf-8") as words, open(compiled, "wb") as file:
                mofile.write_mo(file, pofile.read_po(words, locale=source.parts[2]))
