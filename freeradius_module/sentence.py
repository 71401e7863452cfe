"""A text that remembers its template and its values, so that it can be translated after it was made.

freeradius_module writes what is wrong in English.  The office raises and shows the same sentences to people who may read
another language: it translates the template and inserts the values afterwards (admin/shell/text.py).  Every error of this
package that the office may show carries a Sentence as its only argument.
"""

from typing import Any


class Sentence(str):
    """The filled-in template.  A value may be a Sentence itself, and is then translated, too.

    >>> text = Sentence("{text!r} is not a number of {what}.", text="x", what=Sentence("cards"))
    >>> text
    "'x' is not a number of cards."
    >>> text.template, text.values
    ('{text!r} is not a number of {what}.', {'text': 'x', 'what': 'cards'})
    """

    __slots__ = ("template", "values")

    template: str
    values: dict[str, Any]

    def __new__(cls, template: str, **values: Any) -> "Sentence":
        sentence = super().__new__(cls, template.format(**values))
        sentence.template = template
        sentence.values = values
        return sentence
