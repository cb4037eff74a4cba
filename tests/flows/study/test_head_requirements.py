"""A head that would find nothing in the store, or holes, is stopped before anything is fitted."""

from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest

from tilebank.errors import ConfigError, StoreError
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import Settings, load_settings
from tilebank.flows.study.head_requirements import assert_head_reads
from tilebank.flows.study.study import LabelledStudy, open_study
from tilebank.store.schema import instances_schema
from tilebank.store.tables import Store
from tilebank.terms import Split

BREASTS = [f"E{number}_L" for number in range(20)]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A folder of twenty breasts, each stored as a view and two tiles."""
    monkeypatch.setenv("TILEBANK_HOME", str(tmp_path / "home"))
    table = tmp_path / "breasts.csv"
    table.write_text("\n".join(["breast_id,cancer", *(f"{each},{n % 2}" for n, each in enumerate(BREASTS))]) + "\n")
    settings = head_of("dual_stream", dataset="folder", encoder="texture", set=(f"dataset.labels={table}",))
    instances = Store(settings.store).open_instances(
        "folder", "texture", dim=settings.encoder.dim, licence=settings.licence
    )
    rows = [row for breast_id in BREASTS for row in rows_of(breast_id, settings)]
    instances.commit(pa.Table.from_pylist(rows, schema=instances_schema(settings.encoder.dim)))
    return settings


def head_of(head: str, **choices: object) -> Settings:
    return load_settings(Choices(root="unused", head=head, **choices))  # type: ignore[arg-type]


def rows_of(breast_id: str, settings: Settings) -> list[dict[str, object]]:
    common = {"image_id": f"{breast_id}.CC", "breast_id": breast_id, "exam_id": breast_id[:-2], "view": "CC"}
    common |= {"patient_id": f"P-{breast_id}", "laterality": "L", "image_kind": "ffdm", "special": ""}
    common |= {"vector": np.ones(settings.encoder.dim, np.float16), "fingerprint": settings.fingerprint}
    return [
        common | {"instance_id": f"{breast_id}.CC#{number}", "kind": "tile" if number else "view", "y": 10 * number}
        for number in range(3)
    ]


def opened_without(settings: Settings, clause: str) -> LabelledStudy:
    """The study after rows were lost."""
    lance.dataset(f"{settings.store}/instances--folder--texture.lance").delete(clause)
    return open_study(settings, task="cancer")


def test_breasts_that_hold_all_are_read_by_every_head(settings: Settings) -> None:
    study = open_study(settings, task="cancer")
    for head in ("dual_stream", "tiles_only", "views_only"):
        assert_head_reads(study, head_of(head, dataset="folder", encoder="texture"))


@pytest.mark.parametrize("split", Split)
def test_a_breast_that_lost_its_tiles_is_named_whatever_its_split(settings: Settings, split: Split) -> None:
    lost = open_study(settings, task="cancer").rows[split][0].breast_id
    study = opened_without(settings, f"kind = 'tile' AND breast_id = '{lost}'")
    with pytest.raises(
        StoreError, match=rf"1 of 20 breasts have no tile, such as {lost}; .*verify.*; .*extract again$"
    ):
        assert_head_reads(study, settings)
    assert_head_reads(study, head_of("views_only", dataset="folder", encoder="texture"))


def test_what_was_made_elsewhere_is_to_be_imported_again(settings: Settings) -> None:
    study = opened_without(settings, "kind = 'tile' AND breast_id = 'E3_L'")
    with pytest.raises(
        StoreError, match=r"verify --dataset features --encoder uni; .* import again with tilebank exchange"
    ):
        assert_head_reads(study, head_of("tiles_only", dataset="features", encoder="uni"))


def test_a_head_of_tiles_alone_is_refused_where_there_are_none(settings: Settings) -> None:
    study = opened_without(settings, "kind = 'tile'")
    with pytest.raises(ConfigError, match="head tiles_only reads nothing of .*'folder': .* hold 20 views and 0 tiles;"):
        assert_head_reads(study, head_of("tiles_only", dataset="folder", encoder="texture"))
    assert_head_reads(study, settings)
