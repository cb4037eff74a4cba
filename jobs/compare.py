"""Compare encoders and heads of one task: figures with intervals, paired differences, p-values.

Takes the champions of all finished searches, the newest of each encoder, head and fingerprint, by the predictions that
they left in the store. --encoder and --head leave all others out. Nothing is fitted; rows go by validation AUC.
"""

import argparse
import sys
from pathlib import Path

from tilebank.flows.reporting.flags import JobParser
from tilebank.flows.reporting.job import Summary, run_job, settings_of

EXAMPLES = """examples:
  tilebank compare --dataset phantom --task malignancy
  tilebank compare --dataset phantom --against texture/views_only --out report
  tilebank compare --dataset embed --task cancer --head dual_stream      one head on every encoder
  tilebank compare --dataset embed --runs 1f3a 77c0 --json compared.json two searches by their run ids
"""


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.compare.compare import compare_searches
    from tilebank.flows.compare.runs import Wanted

    wanted = Wanted(encoder=args.only_encoder, head=args.only_head, runs=tuple(args.runs), all_runs=args.all_runs)
    return compare_searches(settings_of(args), task=args.task, wanted=wanted, against=args.against, out=args.out)


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    parser.share("dataset", "task", "store", "tracking")
    for name in ("encoder", "head"):  # not among the settings: nothing is encoded or fitted
        what = f"searches of this {name} alone (default: all of them)"
        parser.what.add_argument(f"--{name}", dest=f"only_{name}", default="", metavar="NAME", help=what)
    parser.what.add_argument("--all-runs", action="store_true", help="older searches of an encoder and head too")
    parser.what.add_argument("--runs", nargs="+", default=[], metavar="ID", help="searches with these run ids alone")
    what = "the reference: encoder/head, or a run id (default: the first row)"
    parser.how.add_argument("--against", default="", metavar="NAME", help=what)
    what = "(default ./compare)"
    parser.output.add_argument("--out", type=Path, default=Path("compare"), metavar="FOLDER", help=what)
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print))
