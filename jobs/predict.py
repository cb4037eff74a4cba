"""Score breasts with a fitted head: all that are stored of a dataset, some exams, or a folder of DICOMs.

RESEARCH SOFTWARE, NOT A MEDICAL DEVICE: no decision about anybody's care may rest on these scores.

The head is the champion of dataset, task and encoder, or the one that --head names; then dataset, task and encoder need
not be said. Its own settings of reader, mask, tiling and encoder are taken; vectors made otherwise are refused.
Written are NAME.csv (a row a breast: score, whether it reaches the threshold, views, what is missing), NAME.tiles.csv
(boxes in source pixels), NAME.refused.csv and NAME.json (the head, its threshold and what it means).
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tilebank.flows.champion.load import choose_head
from tilebank.flows.predict.predict import PredictRequest, predict
from tilebank.flows.reporting.job import Summary, at_least, choices_of, job_parser, run_job
from tilebank.flows.settings.settings import Choices

EXAMPLES = """examples:
  python jobs/predict.py --dataset phantom --task mass                               the champion, all stored breasts
  python jobs/predict.py --dataset phantom --task mass --exam PH-0001-1              one stored exam
  python jobs/predict.py --head phantom--mass--texture --folder ~/dicoms/exam        files, no store needed
  python jobs/predict.py --head phantom--mass--texture/3 --dataset vindr --out v.csv   a version; another dataset
  python jobs/predict.py --head ~/heads/published --folder ~/dicoms                  head.safetensors and head.json
"""


def flow(args: argparse.Namespace) -> Summary:
    choices = replace(choices_of(args), head=Choices().head)  # here --head names a fitted head, not its settings
    chosen = choose_head(choices, head=args.head, task=args.task, folder=args.folder)
    request = PredictRequest(args.out, bool(args.folder), tuple(args.exam), args.top_tiles)
    return predict(chosen, request)


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    for flag, what in (("dataset", "which study"), ("encoder", "which frozen encoder"), ("task", "which question")):
        parser.add_argument(f"--{flag}", default="", metavar="NAME", help=f"{what} (default: that of the head)")
    what = "a registered head (NAME, NAME@ALIAS, NAME/VERSION) or a folder (default: DATASET--TASK--ENCODER@champion)"
    parser.add_argument("--head", default="", metavar="HEAD", help=what)
    parser.add_argument("--folder", default="", metavar="URI", help="DICOMs to score now, in place of what is stored")
    parser.add_argument("--exam", action="append", default=[], metavar="ID", help="a stored exam; may be given often")
    parser.add_argument("--out", type=Path, default=Path("scores.csv"), metavar="CSV", help="(default ./scores.csv)")
    parser.add_argument("--top-tiles", type=at_least(0), default=5, metavar="N", help="of each breast (default 5)")
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
