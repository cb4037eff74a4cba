import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from tilebank.errors import HeadError
from tilebank.mil.contract.outputs import Outputs
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.registry import build_head, save_head
from tilebank.mil.serving import _load_pyfunc


def table_of(bags):
    rows = []
    for b, breast_id in enumerate(bags.breast_ids):
        for kind, features, offsets in (
            ("tile", bags.tile_features, bags.tile_offsets),
            ("view", bags.view_features, bags.view_offsets),
        ):
            vectors = features[offsets[b] : offsets[b + 1]].numpy()
            rows += [{"breast_id": breast_id, "kind": kind, "vector": vector} for vector in vectors]
    return pd.DataFrame(rows)


@pytest.fixture
def head():
    return build_head(DualStreamConfig(), dim=6, seeds=[0])


@pytest.fixture
def served(head, tmp_path):
    save_head(head, tmp_path, metadata={"task": "cancer"})
    return _load_pyfunc(str(tmp_path))


@pytest.mark.parametrize("as_list", [False, True])
def test_served_scores_are_those_of_the_head_whatever_the_order_of_rows(head, served, make_bags, as_list):
    bags = make_bags(seed=0)
    table = table_of(bags).sample(frac=1.0, random_state=0).reset_index(drop=True)
    if as_list:
        table["vector"] = [vector.tolist() for vector in table["vector"]]
    result = served.predict(table)
    assert list(result.columns) == ["breast_id", "score"]
    assert result["breast_id"].tolist() == list(dict.fromkeys(table["breast_id"]))
    with torch.inference_mode():
        expected = dict(zip(bags.breast_ids, head(bags).sigmoid()[0].tolist(), strict=True))
    np.testing.assert_allclose(result["score"], [expected[b] for b in result["breast_id"]], atol=1e-6)
    assert result["score"].nunique() > 12
    assert served.metadata == {"task": "cancer"}


def test_a_head_of_several_classes_serves_a_column_each(make_bags, tmp_path):
    head, bags = build_head(DualStreamConfig(), dim=6, seeds=[0], outputs=Outputs("multiclass", 3)), make_bags(seed=0)
    save_head(head, tmp_path)
    result = _load_pyfunc(str(tmp_path)).predict(table_of(bags))
    assert list(result.columns) == ["breast_id", "score_0", "score_1", "score_2"]
    with torch.inference_mode():
        expected = head(bags)[0].softmax(dim=1)
    np.testing.assert_allclose(result[["score_0", "score_1", "score_2"]], expected, atol=1e-6)


def test_a_breast_with_views_only_is_served(served, make_bags):
    table = table_of(make_bags(seed=0))
    result = served.predict(table[table["kind"] == "view"])
    assert len(result) == 24
    assert result["score"].between(0, 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns=["kind"]), r"columns \['kind'\] are missing"),
        (lambda table: table.assign(breast_id=7), "not strings, the first 7"),
        (lambda table: table.assign(kind="patch"), r"kind holds \['patch'\]"),
        (lambda table: table.assign(vector=[[1.0, 2.0]] * len(table)), r"row 0, breast exam0_L.*\(2,\).*reads \(6,\)"),
        (lambda table: table.assign(vector=[[np.nan] * 6] * len(table)), "breast exam0_L is not finite"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(served, make_bags, change, message):
    with pytest.raises(HeadError, match=message):
        served.predict(change(table_of(make_bags(seed=0))))


def test_parameters_are_refused(served, make_bags):
    with pytest.raises(HeadError, match="unknown parameters"):
        served.predict(table_of(make_bags(seed=0)), params={"threshold": 0.5})


def test_a_pack_is_not_served(tmp_path):
    save_head(build_head(DualStreamConfig(), dim=6, seeds=[0, 1]), tmp_path)
    with pytest.raises(HeadError, match="pack of 2 heads"):
        _load_pyfunc(str(tmp_path))


def test_mil_loads_neither_mlflow_nor_ray_nor_a_table_store():
    code = (
        "import sys, tilebank.mil.serving, tilebank.mil.fitting.fit\n"
        "heavy = {'mlflow', 'ray', 'lance', 'lancedb', 'pydantic', 'sklearn', 'transformers'}\n"
        "sys.exit(','.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
