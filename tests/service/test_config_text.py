"""A list of config.yaml is changed, and not a character besides it."""

import textwrap
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from service.cli.setup import CONFIG
from service.config_text import UneditableConfigError, appended, removed
from service.reference import example_config

PATH = ("dicom_node", "peers")
CT = {"name": "ct1", "ae_title": "CT 1", "addresses": ["192.0.2.7"], "allow": ["echo", "store"]}
LAYOUTS = {
    "nothing": "",
    "only a comment": "# ours\n",
    "another section": "api:\n  port: 8080\n",
    "no line end": "api:\n  port: 8080",
    "no peers": "dicom_node:\n  port: 11112\napi:\n  port: 1\n",
    "an empty section": "dicom_node:\napi:\n  port: 1\n",
    "an empty section in braces": "dicom_node: {}  # to come\napi: {}\n",
    "an empty list": "dicom_node:\n  peers: []  # nobody\n  # more\n  port: 1\n",
    "an empty value": "dicom_node:\n  peers:\n  port: 1\n",
    "null": "dicom_node:\n  peers: null\n  port: 1\n",
    "a list": """\
        dicom_node:
          peers:
            # in the basement
            - name: a   # the first
              addresses: [192.0.2.1]
              # and this of a
            # none of a

        # about the api
        api:
          port: 1
        """,
    "a list that is not indented": "dicom_node:\n  peers:\n  - name: a\n  - name: b\n  port: 1\n",
    "a list in brackets": "dicom_node: {port: 1, peers: [{name: a}, {name: b}]}\napi: {}\n",
    "a list in brackets over lines": "dicom_node:\n  peers: [\n    {name: a},\n  ]\n",
    "a section in braces": "dicom_node: {port: 1}  # ours\n",
    "the last of the file": "api:\n  port: 1\ndicom_node:\n  peers:\n    - name: a",
    "a block of text": "dicom_node:\n  peers:\n    - name: >\n        a\n\n\napi: {}\n",
    "line ends of Windows": "dicom_node:\r\n  peers:\r\n    - name: a\r\n# end\r\n",
    "what init writes": CONFIG,
    "what is in the distribution": example_config(),
}


def text_of(layout: str) -> str:
    return textwrap.dedent(LAYOUTS[layout])


def peers(text: str) -> list[Any]:
    return ((yaml.safe_load(text) or {}).get("dicom_node") or {}).get("peers") or []


def comments(text: str) -> list[str]:
    return [line[line.index("#") :] for line in text.splitlines() if "#" in line]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_entry_is_added_and_every_comment_stays(layout: str) -> None:
    text = text_of(layout)
    changed = appended(text, PATH, CT)
    assert peers(changed) == [*peers(text), CT]
    assert comments(changed) == comments(text)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_entry_that_was_added_can_be_removed_again(layout: str) -> None:
    text = text_of(layout)
    before = peers(text)
    changed = removed(appended(text, PATH, CT), PATH, len(before))
    assert peers(changed) == before
    assert comments(changed) == comments(text)


@pytest.mark.parametrize(
    ("layout", "index"), [(name, n) for name in LAYOUTS for n in range(len(peers(text_of(name))))]
)
def test_any_entry_can_be_removed(layout: str, index: int) -> None:
    text = text_of(layout)
    left = peers(text)
    del left[index]
    assert peers(removed(text, PATH, index)) == left


def test_the_rest_of_the_file_is_left_to_the_letter() -> None:
    changed = appended(text_of("a list"), PATH, CT)
    assert changed == textwrap.dedent("""\
        dicom_node:
          peers:
            # in the basement
            - name: a   # the first
              addresses: [192.0.2.1]
              # and this of a
            - name: ct1
              ae_title: CT 1
              addresses: [192.0.2.7]
              allow: [echo, store]
            # none of a

        # about the api
        api:
          port: 1
        """)


def test_an_entry_goes_with_its_own_comments_only() -> None:
    changed = removed(text_of("a list"), PATH, 0)
    assert changed == textwrap.dedent("""\
        dicom_node:
          peers: []
            # in the basement
            # none of a

        # about the api
        api:
          port: 1
        """)


def test_line_ends_of_windows_are_kept() -> None:
    changed = appended(text_of("line ends of Windows"), PATH, CT)
    assert changed.count("\n") == changed.count("\r\n")


@pytest.mark.parametrize(
    "text",
    [
        "base: &base\n  peers: [{name: a}]\ndicom_node:\n  <<: *base\n",
        "all: &all [{name: a}]\ndicom_node:\n  peers: *all\n",
        "dicom_node: &node {}\nother: *node\n",
        "api:\n  port: 1\n...\n",
    ],
)
def test_a_layout_that_cannot_be_changed_alone_is_refused_with_what_to_add(text: str) -> None:
    with pytest.raises(UneditableConfigError) as refused:
        appended(text, PATH, CT)
    assert '"name": "ct1"' in refused.value.remedy


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_value_changes_more_than_its_own_entry(value: str) -> None:
    item = {"name": "x", "issuer_of_patient_id": value, "addresses": [value]}
    for layout in ("a list", "a list in brackets", "nothing"):
        text = text_of(layout)
        try:
            changed = appended(text, PATH, item)
        except UneditableConfigError:
            continue
        assert peers(changed) == [*peers(text), item]
