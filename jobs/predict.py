"""Score breasts with a fitted head: a stored dataset, some exams, or a folder of DICOMs.

RESEARCH SOFTWARE, NOT A MEDICAL DEVICE: no decision about anybody's care may rest on these scores.

The head is the champion of dataset, task and encoder, or the one that --head names; then dataset, task and encoder need
not be said. Its own settings of reader, mask, tiling and encoder are taken; vectors made otherwise are refused.
Written are NAME.csv (a row a breast: score, whether it reaches the threshold, views, what is missing), NAME.tiles.csv
(boxes in source pixels), NAME.refused.csv and NAME.json (the head, its threshold and what it means).
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from tilebank.flows.reporting.flags import JobParser, at_least, choices_of
from tilebank.flows.reporting.job import Summary, run_job

EXAMPLES = """examples:
  tilebank predict --dataset phantom --task mass                               the champion, all stored breasts
  tilebank predict --dataset phantom --task mass --exam PH-0001-1              one stored exam
  tilebank predict --head phantom--mass--texture --folder ~/dicoms/exam        files, no store needed
  tilebank predict --head phantom--mass--texture/3 --dataset vindr --out v.csv   a version; another dataset
  tilebank predict --head ~/heads/published --folder ~/dicoms                  head.safetensors and head.json
"""


def chosen(args: argparse.Namespace) -> Any:
    from tilebank.flows.champion.load import choose_head

    return choose_head(choices_of(args, dataset=""), head=args.fitted, task=args.task, folder=args.folder)


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.predict.predict import PredictRequest, default_out, predict

    out = args.out or default_out(args.folder)
    return predict(chosen(args), PredictRequest(out, bool(args.folder), tuple(args.exam), args.top_tiles))


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    parser.share_fitted_head()
    parser.what.add_argument("--folder", default="", metavar="URI", help="DICOMs to score now, in place of stored ones")
    what = "a stored exam; may be given often"
    parser.what.add_argument("--exam", action="append", default=[], metavar="ID", help=what)
    parser.share("store", "tracking")
    what = "of each breast (default 5)"
    parser.output.add_argument("--top-tiles", type=at_least(0), default=5, metavar="N", help=what)
    what = "(default ./scores.csv; with --folder ./scores-NAME.csv, by the folder's name)"
    parser.output.add_argument("--out", type=Path, metavar="CSV", help=what)
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, settings=lambda args: chosen(args).settings, show=print))
