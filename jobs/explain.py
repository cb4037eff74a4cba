"""Show where a head looks: maps, boxes and pictures, and whether the map drives the score.

RESEARCH SOFTWARE, NOT A MEDICAL DEVICE: a map says where a head looked, not where disease is.

The head is chosen as for `tilebank predict`, and scores are the same. For the map, images are cut in overlapped tiles
and encoded once more (the vectors are kept in the store; those of a folder are not). Below --out: explain.html (read
this first), breasts.csv, boxes.csv (source pixels), not_mapped.csv, figures/ and a page for each exam.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from tilebank.flows.reporting.confirm import confirm_on_terminal
from tilebank.flows.reporting.flags import JobParser, at_least, choices_of, one_of
from tilebank.flows.reporting.job import Summary, run_job
from tilebank.flows.settings.choices import MAPS

EXAMPLES = """examples:
  tilebank explain --dataset phantom --task mass --split test           the champion on its test exams
  tilebank explain --dataset phantom --task mass --exam PH-0001-2       one stored exam
  tilebank explain --dataset phantom --task mass --plan                 what the whole dataset would cost
  tilebank explain --head phantom--mass--texture --folder ~/dicoms/exam   files, no store needed
  tilebank explain --task mass --split test --map evidence --scales 1,0.5  another map; a finer one beside it
"""


def chosen(args: argparse.Namespace) -> Any:
    from tilebank.flows.champion.load import choose_head

    return choose_head(choices_of(args, dataset=""), head=args.fitted, task=args.task, folder=args.folder)


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.explain.explain import explain
    from tilebank.flows.explain.plan import plan_explanation
    from tilebank.flows.explain.request import ExplainRequest

    outputs = {"dicom": args.dicom, "maps": args.keep_maps, "boxes": args.boxes}
    exams = tuple(args.exam)
    request = ExplainRequest(args.out, bool(args.folder), exams, args.split, args.limit, args.yes, **outputs)
    if args.plan:
        return plan_explanation(chosen(args), request)
    return explain(chosen(args), request, confirm=confirm_on_terminal)


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    parser.share_fitted_head()
    take, write, maps = parser.what.add_argument, parser.output.add_argument, "what of a tile is shown"
    take("--folder", default="", metavar="URI", help="DICOMs to explain now, in place of stored ones")
    take("--exam", action="append", default=[], metavar="ID", help="a stored exam; may be given often")
    take("--split", default="", choices=("train", "val", "test"), help="exams of one split of the head's search")
    take("--limit", type=at_least(1), metavar="N", help="at most N exams, the first by id")
    parser.share("root", "store", "tracking")
    parser.add_setting("--map", "explain.map", kind=one_of(MAPS), metavar="MAP", what=f"{maps}: {', '.join(MAPS)}")
    what = "tile sizes as shares of the encoder's (default 1)"
    parser.add_setting("--scales", "explain.scales", kind="[{}]".format, metavar="S,S", what=what)
    parser.how.add_argument("--boxes", action="store_true", help="fail where the dataset has no annotated boxes")
    parser.how.add_argument("--plan", action="store_true", help="count and estimate only; nothing is stored")
    asked = "do not ask before more than 20 exams are mapped of which none was chosen; without a terminal it is refused"
    parser.how.add_argument("--yes", action="store_true", help=asked)
    write("--keep-maps", action="store_true", help="write the maps as arrays too")
    write("--dicom", action="store_true", help="write boxes as DICOM; they name the patient")
    write("--out", type=Path, default=Path("explained"), metavar="DIR", help="(default ./explained)")
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, settings=lambda args: chosen(args).settings, show=print))
