"""Encode every image of a dataset once and keep the vectors in the store.

Reads the DICOMs under the dataset's root, finds the breast, cuts full-resolution tiles, runs the frozen encoder over
the whole view and the tiles, and commits the vectors as it goes. Run it again after any interruption: images that are
stored, or recorded as failures, are left alone.
"""

import argparse
import sys

from tilebank.flows.reporting.flags import JobParser, at_least
from tilebank.flows.reporting.job import Summary, run_job, settings_of

EXAMPLES = """examples:
  tilebank extract --dataset phantom --plan             what would be done
  tilebank extract --dataset phantom                    do it
  tilebank extract --dataset folder --root ~/dicoms     your own files
  tilebank extract --dataset folder --root s3://b/p --encoder dinov2-small --limit 100
"""


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.extract.extract import extract
    from tilebank.flows.extract.plan import plan_extraction

    plan = plan_extraction if args.plan else extract
    return plan(settings_of(args), limit=args.limit, retry_failed=args.retry_failed)


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    parser.share("dataset", "root", "store")
    parser.share_as("encoder", parser.list_names("encoder"), default="texture")
    what = "take no more than N of the images that are to be done"
    parser.what.add_argument("--limit", type=at_least(1), metavar="N", help=what)
    parser.what.add_argument("--retry-failed", action="store_true", help="try images again that failed before")
    parser.how.add_argument("--plan", action="store_true", help="only count what is new, and what it would cost")
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print))
