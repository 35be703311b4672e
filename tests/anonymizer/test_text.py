"""Values as text. Source: PS3.5 6.1.2.5, Annexes H to K (worked examples)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import DataElement

from anonymizer.text import codecs_of, decode, encoded, is_empty, is_plain, strings

EXAMPLES = [
    (["ISO_IR 100"], b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
    (["ISO_IR 192"], "Wang^XiaoDong=王^小东".encode(), "Wang^XiaoDong=王^小东"),
    (["GB18030"], "Wang^XiaoDong=王^小东".encode("gb18030"), "Wang^XiaoDong=王^小东"),
    (
        ["", "ISO 2022 IR 87"],
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
        "Yamada^Tarou=山田^太郎",
    ),
    (
        ["", "ISO 2022 IR 149"],
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
        "Hong^Gildong=洪^吉洞",
    ),
    (["", "ISO 2022 IR 58"], b"Wang=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab", "Wang=王^小东"),
    (["ISO_IR 13"], b"\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ"),
]


@pytest.mark.parametrize(("terms", "value", "expected"), EXAMPLES)
def test_the_standards_examples_are_read(terms: list[str], value: bytes, expected: str) -> None:
    assert decode(value, codecs_of(terms)) == expected


@given(st.binary(max_size=40), st.sampled_from(["ISO_IR 100", "ISO_IR 192", "GB18030", "nonsense"]))
def test_any_bytes_are_read_as_something(value: bytes, term: str) -> None:
    assert isinstance(decode(value, codecs_of([term, "ISO 2022 IR 87"])), str)


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\\ \0\x1b"), min_size=1),
        min_size=1,
    )
)
def test_what_is_written_is_read_back(values: list[str]) -> None:
    element = encoded(0x00080070, "LO", values)
    assert len(element.value or b"") % 2 == 0
    stripped = [value.strip(" \0") for value in values]
    assert strings(element, "LO", ("utf-8",)) == stripped


def test_a_backslash_is_a_character_in_a_long_text() -> None:
    assert strings(encoded(0x00104000, "LT", ["a\\b"]), "LT", ("utf-8",)) == ["a\\b"]


def test_parsed_elements_are_read_like_raw_ones() -> None:
    assert strings(DataElement(0x00080008, "CS", ["A", "B"]), "CS", ()) == ["A", "B"]
    assert strings(DataElement(0x00100010, "PN", "Example^Ada"), "PN", ()) == ["Example^Ada"]
    assert strings(DataElement(0x00100010, "PN", None), "PN", ()) == []


def test_padding_is_no_value() -> None:
    assert is_empty(encoded(0x00100020, "LO", ["  "]))
    assert is_empty(DataElement(0x00100020, "LO", ""))
    assert not is_empty(DataElement(0x00280010, "US", 0))


def test_escape_sequences_are_not_plain() -> None:
    assert is_plain(b"GE MEDICAL")
    assert not is_plain(b"\x1b$B;3ED")
    assert not is_plain("é".encode())
