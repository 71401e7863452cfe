"""Codes that are put together are the codes that segno draws."""

import segno
from hypothesis import given, settings
from hypothesis import strategies as st

from admin.export.qr import ERROR_LEVEL, QrCodes

CODES = QrCodes()


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 90).flatmap(
        lambda length: st.lists(
            st.text(st.characters(codec="ascii"), min_size=length, max_size=length), min_size=2, max_size=3
        )
    )
)
def test_they_are_module_for_module_the_same(texts):
    for text in texts:
        code = CODES.draw(text)
        base = CODES._bases[len(text)]
        drawn = segno.make(
            text.encode(), mode="byte", error=ERROR_LEVEL, version=base.version, mask=base.mask, boost_error=False
        )
        modules = ["".join(f"{octet:08b}" for octet in row)[: code.modules] for row in code.rows]
        assert modules == ["".join(str(module & 1) for module in row) for row in drawn.matrix]
