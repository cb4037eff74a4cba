"""Vectors of some images of the phantom study, in a store of their own."""

from collections.abc import Sequence
from pathlib import Path

import lance

from tilebank.flows.settings.settings import Settings
from tilebank.store.tables import Store


def copy_images(store: Path, settings: Settings, image_ids: Sequence[str]) -> None:
    """Copy the rows of these images from `store`, which holds the whole study, to the store of `settings`."""
    names = ", ".join(f"'{image_id}'" for image_id in image_ids)
    rows = lance.dataset(f"{store}/instances--phantom--texture.lance").to_table(filter=f"image_id IN ({names})")
    encoder = settings.encoder
    table = Store(settings.store).open_instances(
        settings.dataset.name, encoder.name, dim=encoder.dim, licence=settings.licence
    )
    table.commit(rows)
