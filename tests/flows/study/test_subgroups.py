import pytest

from tilebank.flows.study.subgroups import age_band, group_breasts, views_there
from tilebank.store.records import StoredView


def view(breast_id: str, position: str, *, vendor: str = "Acme", kind: str = "ffdm") -> StoredView:
    return StoredView(breast_id, position, vendor, kind, "linear")


def test_each_breast_gets_what_is_known_of_it_in_the_order_asked_for() -> None:
    views = [
        view("E1_L", "MLO"),
        view("E1_L", "CC", vendor=" Acme "),
        view("E2_R", "CC", vendor="Other"),
        view("X", "CC"),
    ]
    facts = {"E1_L": {"density": "B", "age": "61.4"}, "E2_R": {"density": "DENSITY D"}}
    assert group_breasts(views, facts, ["E2_R", "E1_L"]) == {
        "views": ("CC, no MLO", "CC and MLO"),
        "vendor": ("Other", "Acme"),
        "image kind": ("ffdm", "ffdm"),
        "density": ("D", "B"),
        "age": ("", "60 to 69"),
    }


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    assert set(group_breasts([view("E1_L", "CC", vendor="")], {}, ["E1_L"])) == {"views", "image kind"}


def test_views_of_two_vendors_are_several_and_unreadable_facts_are_told() -> None:
    views = [view("E1_L", "CC"), view("E1_L", "MLO", vendor="Other")]
    columns = group_breasts(views, {"E1_L": {"density": "thick", "age": "old"}}, ["E1_L"])
    assert (columns["vendor"], columns["density"], columns["age"]) == (("several",), ("unreadable",), ("unreadable",))


@pytest.mark.parametrize(
    ("there", "name"),
    [
        (["MLO", "CC", "ML"], "CC and MLO"),
        (["MLO"], "MLO, no CC"),
        (["CC", "ML"], "CC, no MLO"),
        (["ML"], "neither CC nor MLO"),
    ],
)
def test_views_are_named_by_the_two_standard_ones(there: list[str], name: str) -> None:
    assert views_there(there) == name


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("39.9", "under 40"),
        ("40", "40 to 49"),
        ("061Y", "60 to 69"),
        ("89+", "70 and over"),
        (" ", ""),
        ("999", "unreadable"),
        ("061M", "unreadable"),
    ],
)
def test_ages_as_owners_write_them_fall_into_decades(text: str, band: str) -> None:
    assert age_band(text) == band
