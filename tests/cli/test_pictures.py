"""`make pictures` makes the pictures of the pages."""

import pytest
from PIL import Image

from tests import pictures


@pytest.mark.usefixtures("installed")
def test_all_pictures_of_a_language_are_made(tmp_path):
    made = pictures.make(tmp_path, "pt_BR")
    names = ["cards", "slip", "note", "statement", *(["report", "terminal", "browse"] if pictures.CHROMIUM else [])]
    assert [path.name for path in made] == [f"{name}.pt_BR.png" for name in names]
    for path in made:
        with Image.open(path) as picture:
            committed = Image.open(pictures.FOLDER / path.name)
            # The same paper or terminal, with something on it.
            assert picture.width == committed.width and len(picture.convert("L").getcolors()) > 8, path.name
