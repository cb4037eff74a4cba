"""Set the encoders and heads of one task side by side: figures with intervals, paired differences, p-values.

Takes the champions of all finished searches, the newest of each encoder, head and fingerprint, by the predictions that
they left in the store. --encoder and --head leave all others out. Nothing is fitted; rows go by validation AUC.
"""

import argparse
import sys
from pathlib import Path

from tilebank.flows.compare.compare import compare_searches
from tilebank.flows.compare.runs import Wanted
from tilebank.flows.reporting.job import Summary, job_parser, run_job, settings_of
from tilebank.flows.settings.settings import Choices

EXAMPLES = """examples:
  python jobs/compare.py --dataset phantom --task malignancy
  python jobs/compare.py --dataset phantom --against texture/views_only --out report
  python jobs/compare.py --dataset embed --task cancer --head dual_stream      one head on every encoder
  python jobs/compare.py --dataset embed --runs 1f3a 77c0 --json compared.json two searches by their run ids
"""
ANY = "all of them"


def flow(args: argparse.Namespace) -> Summary:
    encoder, head = ("" if name == ANY else name for name in (args.encoder, args.head))
    wanted = Wanted(encoder=encoder, head=head, runs=tuple(args.runs), all_runs=args.all_runs)
    args.encoder, args.head = Choices.encoder, Choices.head  # settings that are not used here
    return compare_searches(settings_of(args), task=args.task, wanted=wanted, against=args.against, out=args.out)


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    parser.set_defaults(encoder=ANY, head=ANY)
    parser.add_argument(
        "--against",
        default="",
        metavar="NAME",
        help="the reference: encoder/head, or a run id (default: the first row)",
    )
    parser.add_argument("--all-runs", action="store_true", help="older searches of the same encoder and head too")
    parser.add_argument("--runs", nargs="+", default=[], metavar="ID", help="the searches with these run ids alone")
    parser.add_argument("--out", type=Path, default=Path("compare"), metavar="FOLDER", help="(default ./compare)")
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
