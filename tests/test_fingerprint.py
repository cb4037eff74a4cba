"""The hash that names vectors."""

from dataclasses import dataclass
from enum import StrEnum

import pytest

from tilebank.fingerprint import fingerprint_of


class Kind(StrEnum):
    A = "a"


@dataclass(frozen=True)
class Part:
    size: int = 3


def test_it_is_the_same_on_every_machine_and_in_every_year() -> None:
    assert fingerprint_of({"part": Part(), "kind": Kind.A, "x": [1, 2.5, None, True]}) == "c680fb8c0ae2d744"


def test_order_of_keys_does_not_matter_but_values_do() -> None:
    assert fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})
    assert fingerprint_of({"a": 1}) != fingerprint_of({"a": 2})
    assert fingerprint_of({"a": 1}) != fingerprint_of({"a": "1"})


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        fingerprint_of({"a": value})
