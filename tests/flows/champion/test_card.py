"""The card of a head: it travels as texts, brings its settings along, and refuses vectors that were made otherwise."""

from dataclasses import replace

import pytest
from tests.flows.conftest import MakeSettings

from tilebank.errors import HeadError
from tilebank.flows.champion.card import HeadCard
from tilebank.flows.settings.settings import Settings


def card_of(settings: Settings, **changes: object) -> HeadCard:
    found = {"threshold": repr(1 / 3), "threshold_rule": "as a test has it"}
    card = HeadCard.of_settings(settings, task="mass", fingerprint=settings.fingerprint, found=found)
    return replace(card, **changes)


def assert_fits(card: HeadCard, settings: Settings, *, name: str = "h") -> None:
    card.assert_fits(settings, fingerprint=settings.fingerprint, name=name)


def test_a_card_comes_back_from_its_texts_to_the_last_bit(settings_for: MakeSettings) -> None:
    for card in (card_of(settings_for()), card_of(settings_for(), threshold=None, threshold_rule="")):
        metadata = card.as_metadata()
        assert all(isinstance(value, str) for value in metadata.values())
        assert HeadCard.of_metadata(metadata, name="h") == card


def test_its_settings_make_the_same_vectors_again_whatever_the_defaults_are(settings_for: MakeSettings) -> None:
    odd = settings_for(
        "reader.intensity=minmax",
        "mask.opening_px=5",
        "tiling.overlap=0.3",
        "tiling.min_tissue_fraction=0.00001",
        "encoder.l2_normalise=false",
    )
    card = card_of(odd)
    assert settings_for().fingerprint != odd.fingerprint
    assert settings_for(*card.overrides()).fingerprint == odd.fingerprint
    assert_fits(card, settings_for(*card.overrides()), name="h")


def test_other_vectors_are_refused_with_both_fingerprints_and_what_differs(settings_for: MakeSettings) -> None:
    plain, other = settings_for(), settings_for("tiling.overlap=0.5", "encoder.dtype=bfloat16")
    with pytest.raises(HeadError) as caught:
        assert_fits(card_of(plain), other, name="mass, version 3")
    said = str(caught.value)
    for part in ("mass, version 3", plain.fingerprint, other.fingerprint):
        assert part in said
    assert "tiling.overlap is 0.0 for the head, 0.5 here" in said
    assert "encoder.dtype is float32 for the head, bfloat16 here" in said


def test_how_rows_are_named_may_differ_and_weights_may_not(
    settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = card_of(settings_for())
    elsewhere = settings_for("dataset.exam_key=study_uid", dataset="folder", root="/nowhere")
    assert elsewhere.fingerprint != card.fingerprint
    assert_fits(card, elsewhere, name="h")
    hub = "encoder.checkpoint=a/b", "encoder.loader=huggingface"
    one, two = (settings_for(*hub, f"encoder.revision={digit * 40}") for digit in ("a", "b"))
    with pytest.raises(HeadError, match=f"encoder.weights.revision is {'a' * 40} for the head, {'b' * 40} here"):
        assert_fits(card_of(one), two, name="h")


def test_a_card_of_an_earlier_version_fits_its_own_fingerprint_alone(settings_for: MakeSettings) -> None:
    old = card_of(settings_for(), vectors="")
    assert old.overrides() == ()
    assert_fits(old, settings_for(), name="h")
    with pytest.raises(HeadError, match="how one of them was made is not known"):
        assert_fits(old, settings_for("tiling.overlap=0.5"), name="h")


def test_a_card_that_says_too_little_is_refused_by_what_is_missing(settings_for: MakeSettings) -> None:
    metadata = card_of(settings_for()).as_metadata()
    with pytest.raises(HeadError, match=r"head h does not say its encoder, fingerprint.*tilebank import-head"):
        HeadCard.of_metadata(metadata | {"encoder": "", "fingerprint": ""}, name="h")
    with pytest.raises(HeadError, match="threshold 'high', which is not a number"):
        HeadCard.of_metadata(metadata | {"threshold": "high"}, name="h")
