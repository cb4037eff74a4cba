"""Check that the breasts of a study have what a head reads: views, tiles or both."""

from tilebank.errors import ConfigError, StoreError
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.study import LabelledStudy
from tilebank.terms import InstanceKind


def assert_head_reads(study: LabelledStudy, settings: Settings) -> None:
    """Raise ConfigError for a head that would see nothing: one of views alone, of breasts that hold tiles alone.

    Raises StoreError where some breasts have views or tiles that the head reads and others have none of that kind: an
    image is stored with all its instances, so that table is not whole.
    """
    breasts = [row.breast_id for rows in study.rows.values() for row in rows]
    counts = study.reader.count_instances(breasts)
    pooled_by = {InstanceKind.VIEW: settings.head.views_by, InstanceKind.TILE: settings.head.tiles_by}
    read = [kind for kind, pooling in pooled_by.items() if pooling != "none"]
    for kind in read:
        without = [breast for breast, count in zip(breasts, counts[kind], strict=True) if not count]
        if 0 < len(without) < len(breasts):
            raise StoreError(
                f"{len(without)} of {len(breasts)} breasts have no {kind.value}, such as {', '.join(without[:3])}; see"
                f" what is missing with: tilebank store verify --dataset {settings.dataset.name} --encoder"
                f" {settings.encoder.name}; then drop the fingerprint with tilebank store and {_again(settings)}"
            )
    if not any(counts[kind].any() for kind in read):
        views, tiles = (int(counts[kind].sum()) for kind in pooled_by)
        raise ConfigError(
            f"head {settings.head_name} reads nothing of dataset {settings.dataset.name!r}: its breasts hold {views}"
            f" views and {tiles} tiles; choose another with --head"
        )


def _again(settings: Settings) -> str:
    return "import again with tilebank exchange" if settings.dataset.made_elsewhere else "extract again"
