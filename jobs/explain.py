"""Show where a head looks: maps, boxes and pictures, and whether the map drives the score. NOT A MEDICAL DEVICE.

Images are cut in overlapped tiles and encoded once more. Below --out, read explain.html first; it links to the rest."""

import argparse
import sys
from pathlib import Path
from typing import Any

from tilebank.flows.reporting.confirm import confirm_on_terminal as ask
from tilebank.flows.reporting.flags import JobParser, at_least, choices_of, one_of
from tilebank.flows.reporting.job import Summary, run_job
from tilebank.flows.settings.choices import MAPS

EXAMPLES = """examples:
  tilebank explain --task mass --split test --limit 9                   the champion on 9 test exams
  tilebank explain --head phantom--mass--texture --folder ~/dicoms/exam files, no store needed
"""


def chosen(args: argparse.Namespace) -> Any:
    from tilebank.flows.champion.load import choose_head

    return choose_head(choices_of(args, dataset=""), head=args.fitted, task=args.task, folder=args.folder)


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.explain.explain import explain
    from tilebank.flows.explain.plan import plan_explanation
    from tilebank.flows.explain.request import ExplainRequest

    which = (bool(args.folder), tuple(args.exam), args.split, args.limit, args.yes)
    request = ExplainRequest(args.out, *which, dicom=args.dicom, maps=args.keep_maps, boxes=args.boxes)
    return plan_explanation(chosen(args), request) if args.plan else explain(chosen(args), request, confirm=ask)


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    parser.share_fitted_head()
    take, how = parser.what.add_argument, parser.how.add_argument
    take("--folder", default="", metavar="URI", help="DICOMs to explain now, in place of stored ones")
    take("--exam", action="append", default=[], metavar="ID", help="a stored exam; may be given often")
    take("--split", default="", choices=("train", "val", "test"), help="exams of one split of the head's search")
    take("--limit", type=at_least(1), metavar="N", help="at most N exams, the first by id")
    parser.share("root", "store", "tracking")
    parser.add_setting("--map", "explain.map", kind=one_of(MAPS), metavar="MAP", what=f"shown: {', '.join(MAPS)}")
    parser.add_setting("--scales", "explain.scales", kind="[{}]".format, metavar="S,S", what="tile sizes (default 1)")
    how("--boxes", action="store_true", help="fail where the dataset has no annotated boxes")
    how("--plan", action="store_true", help="count and estimate only; nothing is stored")
    how("--yes", action="store_true", help="do not ask before more than 20 exams, none of them chosen, are mapped")
    how("--keep-maps", action="store_true", help="also write the maps as arrays")
    how("--dicom", action="store_true", help="also write boxes as DICOM; they name the patient")
    parser.output.add_argument(
        "--out", type=Path, default=Path("explained"), metavar="DIR", help="(default ./explained)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, settings=lambda args: chosen(args).settings, show=print))
