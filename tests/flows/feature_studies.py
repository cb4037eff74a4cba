"""What tests of features in and out share: slides, moving them, and a look at what is stored."""

from dataclasses import replace
from pathlib import Path

import lance
import pandas as pd
from tests.foreign_features import make_slides

from tilebank.flows.exchange.exchange import exchange
from tilebank.flows.exchange.export_features import ExportSummary
from tilebank.flows.exchange.import_features import ImportSummary
from tilebank.flows.exchange.request import Request
from tilebank.flows.maintain.request import Request as Upkeep
from tilebank.flows.maintain.store import Verdict, maintain
from tilebank.flows.settings.settings import Settings
from tilebank.terms import Split

SLIDES = make_slides(30)
TABLE = "instances--features--uni.lance"


def brought_in(settings: Settings, layout: str) -> ImportSummary:
    summary = exchange(settings, Request("import", source=layout))
    assert isinstance(summary, ImportSummary)
    return summary


def handed_out(settings: Settings, target: str, out: Path, split: Split = Split.TRAIN, **more: object) -> ExportSummary:
    request = Request("export", target=target, task="label", out=out, split=split.value, licence_allows=True)
    summary = exchange(settings, replace(request, **more))  # type: ignore[arg-type]
    assert isinstance(summary, ExportSummary)
    return summary


def rows_of(settings: Settings, table: str = TABLE) -> pd.DataFrame:
    return lance.dataset(f"{settings.store}/{table}").to_table().to_pandas()


def failures_of(settings: Settings) -> dict[str, str]:
    rows = rows_of(settings, "failures--features--uni.lance")
    return dict(zip(rows["image_id"], rows["stage"] + "/" + rows["error_class"], strict=True))


def assert_whole(settings: Settings) -> None:
    verdict = maintain(settings, Upkeep("verify"))
    assert isinstance(verdict, Verdict)
    assert verdict.verified.problems == ()
