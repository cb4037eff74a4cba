"""Build the scalar indices of an instances table: by breast, exam and image."""

from functools import partial

import lance

from tilebank.store.commits import Guard, retry, unguarded
from tilebank.store.schema import INSTANCE_INDICES


def build_indices(table: lance.LanceDataset, *, guard: Guard = unguarded) -> None:
    """Build the indices over all rows, replacing existing ones. Raises StoreError."""
    for column in INSTANCE_INDICES:
        create = partial(table.create_scalar_index, column, "BTREE", replace=True)
        retry(create, str(table.uri), what=f"index {column}", guard=guard)


def rows_without_index(table: lance.LanceDataset) -> int:
    """How many rows are missing from the least complete index."""
    known = {index.field_names[0]: int(index.num_rows_indexed) for index in table.describe_indices()}
    return int(table.count_rows()) - min(known.get(column, 0) for column in INSTANCE_INDICES)
