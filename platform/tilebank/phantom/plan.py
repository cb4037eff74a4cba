"""Plan the phantom study: draw patients, exams, breasts and findings before any pixel is made.

Each choice draws from its own random stream, keyed by study seed, purpose, patient and exam. So an exam does not depend
on the others, and vendor, density, form and number of exams do not depend on the findings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tilebank.phantom.anatomy import VIEWS, BreastShape
from tilebank.phantom.config import PhantomConfig
from tilebank.phantom.findings import Finding, Form
from tilebank.phantom.placement import FreeSpace, place_finding
from tilebank.phantom.vendors import VENDORS
from tilebank.terms import Laterality

DENSITIES = "ABCD"
_GLAND_FRACTION = {"A": (0.06, 0.16), "B": (0.18, 0.33), "C": (0.36, 0.54), "D": (0.58, 0.78)}
_MOST_DIAMETER_MM = {"oval": 25.0, "irregular": 24.0, "spiculated": 20.0}


class Stream(IntEnum):
    """What a random stream is for."""

    ANATOMY = 1
    EXAM = 2
    SIDE = 3
    FINDINGS = 4
    TISSUE_OF_PATIENT = 5
    TISSUE_OF_BREAST = 6
    QUANTUM = 7


@dataclass(frozen=True)
class PhantomBreast:
    """One breast as it will be rendered, and its truth."""

    laterality: Laterality
    birads: int
    shape: BreastShape
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class PhantomExam:
    """One exam: who, with which machine, and both breasts."""

    patient_id: str
    exam_id: str
    patient_number: int
    exam_number: int
    vendor: str
    density: str
    study_date: str
    breasts: tuple[PhantomBreast, PhantomBreast]


def stream(config: PhantomConfig, purpose: Stream, patient: int, *, place: Sequence[int] = ()) -> np.random.Generator:
    """The generator of one purpose; `place` narrows it to exam, side, view. Its key always has the same length."""
    return np.random.default_rng([config.seed, purpose, patient, *place, *[0] * (3 - len(place))])


def plan_exams(config: PhantomConfig) -> list[PhantomExam]:
    """All exams of the study, by patient and exam number."""
    exams = []
    for patient in range(1, config.patients + 1):
        rng = stream(config, Stream.ANATOMY, patient)
        chance = config.another_exam ** np.arange(config.max_exams)
        count = 1 + int(rng.choice(config.max_exams, p=chance / chance.sum()))
        density = DENSITIES[rng.choice(4, p=_shares(config.density_weights))]
        shape = _draw_shape(rng, gland_fraction=rng.uniform(*_GLAND_FRACTION[density]))
        sides = [_varied(shape, stream(config, Stream.SIDE, patient, place=[0, side]), 0.02) for side in (0, 1)]
        exams += [_plan_exam(config, patient, number, density=density, sides=sides) for number in range(1, count + 1)]
    return exams


def count_images(exams: Sequence[PhantomExam]) -> int:
    """How many images the exams have."""
    return sum(len(exam.breasts) * len(VIEWS) for exam in exams)


def _plan_exam(
    config: PhantomConfig, patient: int, number: int, *, density: str, sides: Sequence[BreastShape]
) -> PhantomExam:
    rng = stream(config, Stream.EXAM, patient, place=[number])
    vendor = list(VENDORS)[rng.integers(len(VENDORS))]
    date = f"{2018 + number}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}"
    breasts = []
    for side, laterality in enumerate(Laterality):
        shape = _varied(sides[side], rng, 0.01)
        drawing = stream(config, Stream.FINDINGS, patient, place=[number, side])
        findings = _draw_findings(config, drawing, shape=shape)
        breasts.append(PhantomBreast(laterality, birads_of(findings), shape, findings))
    patient_id = f"PH-{patient:04d}"
    exam_id = f"{patient_id}-{number}"
    return PhantomExam(patient_id, exam_id, patient, number, vendor, density, date, (breasts[0], breasts[1]))


def _draw_shape(rng: np.random.Generator, *, gland_fraction: float) -> BreastShape:
    depth = float(np.clip(rng.normal(88.0, 12.0), 66.0, 112.0))
    axilla = depth * rng.uniform(0.50, 0.68)
    return BreastShape(
        depth_mm=depth,
        half_height_mm=float(np.clip(depth * rng.uniform(0.82, 1.02), 62.0, 94.0)),
        taper=rng.uniform(1.1, 1.8),
        nipple_y_cc_mm=rng.uniform(111.0, 121.0),
        nipple_y_mlo_mm=rng.uniform(130.0, 150.0),
        skew=rng.uniform(-0.08, 0.08),
        axilla_mm=axilla,
        fold_mm=min(depth * rng.uniform(0.66, 0.84), 76.0),
        muscle_width_mm=axilla * rng.uniform(0.80, 0.98),
        muscle_length_mm=rng.uniform(105.0, 160.0),
        muscle_bow=rng.uniform(0.80, 1.20),
        fat_layer_mm=rng.uniform(4.0, 9.0),
        gland_fraction=gland_fraction,
    )


def _varied(shape: BreastShape, rng: np.random.Generator, amount: float) -> BreastShape:
    """The same woman again: another side, another exam."""
    factor = (1.0 + amount * np.clip(rng.standard_normal(5), -2.5, 2.5)).tolist()
    return replace(
        shape,
        depth_mm=shape.depth_mm * factor[0],
        half_height_mm=shape.half_height_mm * factor[1],
        nipple_y_cc_mm=shape.nipple_y_cc_mm * factor[2],
        nipple_y_mlo_mm=shape.nipple_y_mlo_mm * factor[3],
        muscle_length_mm=shape.muscle_length_mm * factor[4] ** 2,
    )


def birads_of(findings: Sequence[Finding]) -> int:
    """1 nothing, 2 benign only, 5 a spiculated mass or a malignant mass with calcifications, 4 other malignant ones."""
    forms = {finding.form for finding in findings if finding.malignant}
    if not forms:
        return 2 if findings else 1
    return 5 if "spiculated" in forms or forms == {"irregular", "cluster"} else 4


def _draw_findings(config: PhantomConfig, rng: np.random.Generator, *, shape: BreastShape) -> tuple[Finding, ...]:
    forms = _draw_forms(config, rng)
    room = {view: FreeSpace(shape, view) for view in VIEWS} if forms else {}
    findings: list[Finding] = []
    for form in forms:
        within = findings[-1] if form == "cluster" and findings else None  # calcifications of a mass lie in it
        if within is None:
            finding = place_finding(_draw_finding(config, rng, form), rng, shape=shape, room=room)
        else:
            finding = replace(
                _draw_finding(config, rng, form, most_mm=min(0.8 * within.diameter_mm, 12.0)),
                behind_nipple_mm=within.behind_nipple_mm,
                y_cc_mm=within.y_cc_mm,
                y_mlo_mm=within.y_mlo_mm,
            )
        findings.append(finding)
    return tuple(findings)


def _draw_forms(config: PhantomConfig, rng: np.random.Generator) -> list[Form]:
    """What a breast has. A mass and its calcifications come first and in this order."""
    birads = (1, 2, 4, 5)[rng.choice(4, p=_shares(config.birads_weights))]
    with_mass, with_coarse = [(True, False), (False, True), (True, True)][rng.choice(3, p=(0.50, 0.35, 0.15))]
    coarse = int(rng.integers(1, 4))
    benign: list[Form] = ["oval"] if with_mass else []
    if with_coarse:
        benign.extend("coarse" for _ in range(coarse))
    first = rng.random()
    if birads <= 2:
        return benign if birads == 2 else []
    malignant: list[Form] = ["cluster"] if first < config.calcification_only else ["irregular"]
    if birads == 5:
        mass: Form = "spiculated" if first < 0.7 else "irregular"
        malignant = [mass] if first < 0.4 else [mass, "cluster"]
    return malignant + (benign if rng.random() < config.also_benign else [])


def _draw_finding(config: PhantomConfig, rng: np.random.Generator, form: Form, *, most_mm: float = 12.0) -> Finding:
    """Form, size and contrast; the place is still open."""
    diameter, contrast, specks = rng.uniform(0.5, 1.1), rng.uniform(0.22, 0.45), 1  # coarse
    if form == "cluster":
        diameter, specks = rng.uniform(3.0, max(3.0, most_mm)), int(rng.integers(5, 16))
        contrast = rng.uniform(*config.speck_contrast)
    elif form != "coarse":
        diameter = float(np.clip(rng.lognormal(np.log(12.0), 0.38), 6.0, _MOST_DIAMETER_MM[form]))
        contrast, specks = rng.uniform(0.08, 0.17) if form == "oval" else rng.uniform(0.13, 0.27), 0
    seed = int(rng.integers(2**32))
    return Finding(form, form not in ("oval", "coarse"), float(diameter), contrast, specks, seed, 0.0, 0.0, 0.0)


def _shares(weights: tuple[float, float, float, float]) -> NDArray[np.float64]:
    return np.asarray(weights, dtype=np.float64) / sum(weights)
