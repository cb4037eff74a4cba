"""What is to be explained: the request, whether it can be done, and which breasts and images it names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tilebank.datasets.contract import Manifest
from tilebank.errors import ConfigError, DatasetError, HeadError
from tilebank.flows.champion.load import ChosenHead
from tilebank.flows.explain.files import assert_folder
from tilebank.flows.explain.maps.scales import assert_mappable
from tilebank.flows.predict.inputs import assert_one_source, pick_breasts, splits_known
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.study import open_reader
from tilebank.mil.explaining.tile_attention import why_no_attention
from tilebank.store.records import StoredBreast

ASK_ABOVE = 20  # exams: more are mapped only where the user has said which, or has confirmed it

Confirm = Callable[[str], bool]


def never(_question: str) -> bool:
    """There is nobody to ask."""
    return False


@dataclass(frozen=True)
class ExplainRequest:
    """What is explained and where it is written.

    from_folder: the dataset's root is read now, nothing is kept in the store; exams, split: of those that are stored,
    none for all; limit: at most this many of them, by exam id; yes: many exams need no question; dicom: boxes are also
    written as DICOM objects, which name the patient as the images do; maps: arrays are kept; boxes: the dataset must
    have annotated ones.
    """

    out: Path
    from_folder: bool = False
    exams: tuple[str, ...] = ()
    split: str = ""
    limit: int | None = None
    yes: bool = False
    dicom: bool = False
    maps: bool = False
    boxes: bool = False

    @property
    def is_of_a_study(self) -> bool:
        """Whether figures are recorded: those of a dataset or a split are, those of a part or a folder are not."""
        return not self.from_folder and not self.exams and self.limit is None

    @property
    def says_which(self) -> bool:
        """Whether anything narrows down the exams of the dataset."""
        return bool(self.from_folder or self.exams or self.split or self.limit is not None)


def assert_explainable(chosen: ChosenHead, request: ExplainRequest) -> None:
    """Raise ConfigError or HeadError, before any work, where the request cannot be met."""
    assert_one_source(request.exams, from_folder=request.from_folder)
    if request.from_folder and request.split:
        raise ConfigError("--split picks stored exams; a folder has no splits")
    assert_mappable(chosen.settings)
    if chosen.settings.explain.map != "evidence" and (why := why_no_attention(chosen.head)):
        raise HeadError(f"{why}; --map evidence shows what each tile gives on its own, and needs no attention")
    if chosen.settings.explain.map != "attention" and chosen.head.outputs.kind != "binary":
        raise HeadError(
            f"head {chosen.name} has several outputs, and a map of {chosen.settings.explain.map} shows one; use --map"
            " attention"
        )
    if chosen.head.config.tiles_by == "none":
        raise HeadError(f"head {chosen.name} reads no tiles, so there is nothing to map; fit one that does")
    assert_folder(request.out)


def confirm_size(chosen: ChosenHead, request: ExplainRequest, confirm: Confirm) -> None:
    """Ask before a whole dataset is mapped unasked. Raises ConfigError where the answer is no."""
    if request.says_which or request.yes:
        return
    exams = {breast.exam_id for breast in open_reader(chosen.settings).read_breasts()}
    if len(exams) <= ASK_ABOVE:
        return
    size = f"all {len(exams)} stored exams of dataset {chosen.settings.dataset.name!r} would be mapped"
    if not confirm(f"{size}. Go on?"):
        raise ConfigError(
            f"{size}, and nothing was done; choose some with --exam, --split or --limit, see what it would cost with"
            " --plan, or add --yes"
        )


def wanted_breasts(chosen: ChosenHead, request: ExplainRequest, settings: Settings) -> list[StoredBreast]:
    """The stored breasts that the request names. Raises StoreError or DatasetError where there are none."""
    breasts = pick_breasts(open_reader(settings).read_breasts(), request.exams)
    if request.split:
        splits = splits_known(chosen, settings)
        breasts = [breast for breast in breasts if splits.get(breast.patient_id) == request.split]
        if not breasts:
            raise DatasetError(
                f"no stored breast is in the {request.split} split of the search that made this head; leave --split out"
            )
    if request.limit is None:
        return breasts
    first = set(sorted({breast.exam_id for breast in breasts})[: request.limit])
    return [breast for breast in breasts if breast.exam_id in first]


def images_of(manifest: Manifest, breasts: Sequence[StoredBreast], settings: Settings) -> Manifest:
    """The images of these breasts. Raises DatasetError where there are none."""
    ids = {breast.breast_id for breast in breasts}
    images = tuple(row for row in manifest.images if row.breast_id in ids)
    if not images:
        raise DatasetError(
            f"the vectors of {len(ids)} breasts are stored, but none of their images is below {settings.dataset.root};"
            " a map is laid on the image: name the images' folder with --root"
        )
    return Manifest(images=images, failures=())
