"""Cases of a parametrised test, some of which are left to `make test-all`."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def with_long(cases: Iterable[Any], long: Collection[Any]) -> list[Any]:
    """All cases in their order; those in `long` are marked so."""
    return [pytest.param(case, marks=pytest.mark.long) if case in long else case for case in cases]
