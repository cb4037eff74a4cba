"""Show where a head looks: a map on every image, boxes, pictures, and whether the map drives the score.

RESEARCH SOFTWARE, NOT A MEDICAL DEVICE: a map says where a head looked, not where disease is.

The head is chosen as for predict.py, and scores are the same. For the map, images are cut anew in overlapped tiles and
encoded (once: the vectors are kept in the store; those of a folder are not). Below --out: explain.html (read this
first), breasts.csv, boxes.csv (source pixels), not_mapped.csv, figures/ and pages/ an exam.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tilebank.flows.champion.load import choose_head
from tilebank.flows.explain.explain import explain
from tilebank.flows.explain.plan import plan_explanation
from tilebank.flows.explain.request import ASK_ABOVE, ExplainRequest
from tilebank.flows.reporting.confirm import confirm_on_terminal
from tilebank.flows.reporting.job import Summary, at_least, choices_of, job_parser, run_job
from tilebank.flows.settings.explain import MAPS
from tilebank.flows.settings.settings import Choices

EXAMPLES = """examples:
  python jobs/explain.py --dataset phantom --task mass --split test           the champion on its test exams
  python jobs/explain.py --dataset phantom --task mass --exam PH-0001-2       one stored exam
  python jobs/explain.py --dataset phantom --task mass --plan                 what the whole dataset would cost
  python jobs/explain.py --head phantom--mass--texture --folder ~/dicoms/exam   files, no store needed
  python jobs/explain.py --task mass --split test --map evidence --scales 1,0.5  another map; a finer one beside it
"""


def flow(args: argparse.Namespace) -> Summary:
    pairs = [f"explain.map={args.map}"] * bool(args.map) + [f"explain.scales=[{args.scales}]"] * bool(args.scales)
    choices = replace(choices_of(args), head=Choices().head, set=(*pairs, *args.set))
    chosen = choose_head(choices, head=args.head, task=args.task, folder=args.folder)
    request = ExplainRequest(args.out, bool(args.folder), tuple(args.exam), args.split, args.limit, args.yes)
    request = replace(request, dicom=args.dicom, maps=args.keep_maps, boxes=args.boxes)
    return plan_explanation(chosen, request) if args.plan else explain(chosen, request, confirm=confirm_on_terminal)


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    for flag, what in (("dataset", "which study"), ("encoder", "which frozen encoder"), ("task", "which question")):
        parser.add_argument(f"--{flag}", default="", metavar="NAME", help=f"{what} (default: that of the head)")
    parser.add_argument("--head", default="", metavar="HEAD", help="as for predict.py (default: the champion)")
    parser.add_argument("--folder", default="", metavar="URI", help="DICOMs to explain, in place of what is stored")
    parser.add_argument("--exam", action="append", default=[], metavar="ID", help="a stored exam; may be given often")
    parser.add_argument("--split", default="", choices=["train", "val", "test"], help="of the head's search alone")
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="at most N exams, the first by id")
    parser.add_argument("--plan", action="store_true", help="count and estimate only; nothing is stored")
    asked = f"map all exams of a dataset of more than {ASK_ABOVE} without asking (a job without a terminal refuses)"
    parser.add_argument("--yes", action="store_true", help=asked)
    parser.add_argument("--map", default="", choices=MAPS, help="what is shown of a tile")
    parser.add_argument("--scales", default="", metavar="S,S", help="tile sizes, shares of the encoder's (default 1)")
    parser.add_argument("--boxes", action="store_true", help="fail where the dataset has no annotated boxes")
    parser.add_argument("--keep-maps", action="store_true", help="write the maps as arrays too")
    parser.add_argument("--dicom", action="store_true", help="write boxes as DICOM; they name the patient")
    parser.add_argument("--out", type=Path, default=Path("explained"), metavar="DIR", help="(default ./explained)")
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
