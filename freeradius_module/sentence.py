"""A sentence that remembers how it was made, so that it can be said in another language.

This package says what is wrong in English.  The office, which reads the same rules, shows the same sentences to people
who may speak another language: it translates the template and puts the values in afterwards (admin/shell/text.py).
"""

from typing import Any


class Sentence(str):
    """A text, its template and the values that stand in it; a value may be a sentence itself.

    >>> said = Sentence("{text!r} is no number of {what}.", text="x", what=Sentence("cards"))
    >>> said
    "'x' is no number of cards."
    >>> said.template, said.values
    ('{text!r} is no number of {what}.', {'text': 'x', 'what': 'cards'})
    """

    __slots__ = ("template", "values")

    template: str
    values: dict[str, Any]

    def __new__(cls, template: str, **values: Any) -> "Sentence":
        said = super().__new__(cls, template.format(**values))
        said.template = template
        said.values = values
        return said
