"""Which exams are mapped, and the question before a whole dataset is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.flows.conftest import MakeSettings

from tilebank.errors import ConfigError, StoreError
from tilebank.flows.champion.card import HeadCard
from tilebank.flows.champion.load import ChosenHead
from tilebank.flows.explain.request import ASK_ABOVE, ExplainRequest, confirm_size, wanted_breasts
from tilebank.flows.settings.settings import Settings
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import build_head
from tilebank.store.schema import instances_schema
from tilebank.store.tables import Store


def store_exams(settings: Settings, count: int) -> None:
    """A view of each of so many exams."""
    dim, rows = settings.encoder.dim, []
    for number in range(count):
        exam = f"E{number:03d}"
        rows.append(
            {"instance_id": f"{exam}#0", "image_id": exam, "breast_id": f"{exam}_L", "exam_id": exam,
             "patient_id": f"P{number}", "laterality": "L", "view": "CC", "kind": "view", "instances": 1,
             "x": 0, "y": 0, "width": 9, "height": 9, "tissue_fraction": 1.0, "flipped": False,
             "vector": np.zeros(dim, np.float16), "fingerprint": settings.fingerprint, "image_kind": "ffdm",
             "special": ""}
        )  # fmt: skip
    table = Store(settings.store).open_instances("phantom", "texture", dim=dim, licence=settings.licence)
    table.commit(pa.Table.from_pylist(rows, schema=instances_schema(dim)))


@pytest.fixture
def chosen(settings_for: MakeSettings) -> ChosenHead:
    settings = settings_for()
    head = build_head(DualStreamConfig(), dim=settings.encoder.dim, seeds=[0])
    card = HeadCard.of_settings(settings, task="mass", fingerprint=settings.fingerprint, found={})
    return ChosenHead(head, card, "a head", "key", settings)


class Terminal:
    """Somebody who answers, and what was asked."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def __call__(self, question: str) -> bool:
        self.asked.append(question)
        return self.answer


def exams_of(chosen: ChosenHead, request: ExplainRequest) -> Sequence[str]:
    return [breast.exam_id for breast in wanted_breasts(chosen, request, chosen.settings)]


def test_more_than_some_exams_are_mapped_only_where_somebody_agrees(chosen: ChosenHead, tmp_path: Path) -> None:
    store_exams(chosen.settings, ASK_ABOVE + 1)
    nobody, somebody = Terminal(answer=False), Terminal(answer=True)
    with pytest.raises(ConfigError, match=rf"all {ASK_ABOVE + 1} stored exams .* --limit.*--plan.*--yes"):
        confirm_size(chosen, ExplainRequest(tmp_path), nobody)
    confirm_size(chosen, ExplainRequest(tmp_path), somebody)
    assert nobody.asked == somebody.asked
    assert len(nobody.asked) == 1


def test_who_says_which_exams_or_yes_is_not_asked(chosen: ChosenHead, tmp_path: Path) -> None:
    store_exams(chosen.settings, ASK_ABOVE + 1)
    nobody = Terminal(answer=False)
    for request in (
        ExplainRequest(tmp_path, exams=("E001",)),
        ExplainRequest(tmp_path, split="test"),
        ExplainRequest(tmp_path, limit=21),
        ExplainRequest(tmp_path, yes=True),
        ExplainRequest(tmp_path, from_folder=True),
    ):
        confirm_size(chosen, request, nobody)
    assert not nobody.asked


def test_few_exams_need_no_question(chosen: ChosenHead, tmp_path: Path) -> None:
    store_exams(chosen.settings, ASK_ABOVE)
    nobody = Terminal(answer=False)
    confirm_size(chosen, ExplainRequest(tmp_path), nobody)
    assert not nobody.asked


def test_a_limit_takes_the_first_exams_and_is_no_study(chosen: ChosenHead, tmp_path: Path) -> None:
    store_exams(chosen.settings, 5)
    request = ExplainRequest(tmp_path, limit=2)
    assert exams_of(chosen, request) == ["E000", "E001"]
    assert exams_of(chosen, ExplainRequest(tmp_path, limit=50)) == [f"E{number:03d}" for number in range(5)]
    assert not request.is_of_a_study
    with pytest.raises(StoreError, match="such as E9"):
        exams_of(chosen, ExplainRequest(tmp_path, exams=("E9",)))
