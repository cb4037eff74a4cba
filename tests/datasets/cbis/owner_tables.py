"""CBIS-DDSM's four tables in small, with the owner's quirks, and the mammograms that they name."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tilebank.datasets.cbis.adapter import Cbis
from tilebank.datasets.contract import DatasetConfig, ScannedImage
from tilebank.datasets.intake import IntakeConfig

TABLES = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "tables"
NAMES = [f"{sort}_case_description_{part}_set.csv" for sort in ("mass", "calc") for part in ("train", "test")]
UID = "1.3.6.1.4.1.9590.100.1.2."


def uid(digits: int) -> str:
    return f"{UID}4221127222131896498076114346122289{digits:05d}"


def row_of(case: str, number: int, *, study: int, assessment: str, pathology: str, density: str = "3") -> str:
    """One line of a table, with the line break that the owner's last path ends in."""
    collection, rest = case.split("_", 1)
    patient, side, view = rest.rsplit("_", 2)
    sort = "mass" if collection.startswith("Mass") else "calcification"
    lesion = f"{case}_{number}/{uid(study + 1)}/{uid(study + 2)}"
    full = f"{case}/{uid(study)}/{uid(study + 50_000)}/000000.dcm"
    return (
        f"{patient},{density},{side},{view},{number},{sort},OVAL,NA,{assessment},{pathology},4,{full},"
        f'{lesion}/000000.dcm,"{lesion}/000001.dcm\n"\n'
    )


def header_line(sort: str) -> str:
    density = "breast_density" if sort == "mass" else "breast density"
    sorts = "mass shape,mass margins" if sort == "mass" else "calc type,calc distribution"
    return (
        f"patient_id,{density},left or right breast,image view,abnormality id,abnormality type,{sorts},assessment,"
        "pathology,subtlety,image file path,cropped image file path,ROI mask file path\n"
    )


# P_1: left breast in two views with two masses, one of them in CC alone; the right one has a calcification in MLO.
# P_2: a mass in the train part, and a calcification of the same film in the test part.
MASS_TRAIN = [
    row_of("Mass-Training_P_1_LEFT_CC", 1, study=10, assessment="3", pathology="BENIGN"),
    row_of("Mass-Training_P_1_LEFT_CC", 2, study=10, assessment="0", pathology="BENIGN_WITHOUT_CALLBACK"),
    row_of("Mass-Training_P_1_LEFT_MLO", 1, study=20, assessment="3", pathology="BENIGN"),
    row_of("Mass-Training_P_2_RIGHT_CC", 1, study=30, assessment="4", pathology="MALIGNANT", density="0"),
]
MASS_TEST = [row_of("Mass-Test_P_3_LEFT_CC", 1, study=40, assessment="2", pathology="BENIGN_WITHOUT_CALLBACK")]
CALC_TRAIN = [row_of("Calc-Training_P_1_RIGHT_MLO", 1, study=50, assessment="5", pathology="MALIGNANT")]
CALC_TEST = [row_of("Calc-Test_P_2_RIGHT_CC", 1, study=60, assessment="2", pathology="BENIGN", density="2")]
PARTS = dict(zip(NAMES, (MASS_TRAIN, MASS_TEST, CALC_TRAIN, CALC_TEST), strict=True))
# case folder, last five digits of study and series: the six mammograms of the tables
MAMMOGRAMS = {
    "Mass-Training_P_1_LEFT_CC": 10,
    "Mass-Training_P_1_LEFT_MLO": 20,
    "Mass-Training_P_2_RIGHT_CC": 30,
    "Mass-Test_P_3_LEFT_CC": 40,
    "Calc-Training_P_1_RIGHT_MLO": 50,
    "Calc-Test_P_2_RIGHT_CC": 60,
}


def cbis_at(root: Path, *, intake: IntakeConfig | None = None, prefix: str = "") -> Cbis:
    for name, rows in PARTS.items():
        (root / f"{prefix}{name}").write_text(header_line(name[:4]) + "".join(rows))
    config = DatasetConfig(
        name="cbis",
        adapter="cbis",
        root=str(root),
        licence="x",
        redistributable=True,
        intake=intake or IntakeConfig(kinds=("film",)),
    )
    return Cbis(config)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def scan_nothing(uris: Sequence[str]) -> Iterable[ScannedImage]:
    raise AssertionError("folders name all images: no header is read")


def tcia_file(case: str, study: int, *, series: int | None = None, what: str = "full mammogram images") -> str:
    number = study + 50_000 if series is None else series
    return f"CBIS-DDSM/{case}/07-20-2016-DDSM-NA-{study:05d}/1.000000-{what}-{number:05d}/1-1.dcm"


def touch_all_as_tcia(root: Path) -> None:
    touch(root, *(tcia_file(case, study) for case, study in MAMMOGRAMS.items()))
    for case, study in MAMMOGRAMS.items():
        touch(root, tcia_file(f"{case}_1", study + 1, series=study + 2, what="cropped images"))
