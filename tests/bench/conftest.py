"""Fixtures of flows and heads that the benchmarks' tests use too."""

from tests.flows.conftest import settings_for
from tests.mil.conftest import make_bags, roc_auc

__all__ = ["make_bags", "roc_auc", "settings_for"]
