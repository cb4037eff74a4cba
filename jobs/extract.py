"""Encode every image of a dataset once and keep the vectors in the store.

Reads the DICOMs under the dataset's root, finds the breast, cuts full-resolution tiles, runs the frozen encoder over
the whole view and the tiles, and commits the vectors as it goes. Run it again after any interruption: images that are
stored, or recorded as failures, are left alone.
"""

import argparse
import sys

from tilebank.flows.extract.extract import extract
from tilebank.flows.extract.plan import plan_extraction
from tilebank.flows.reporting.job import Summary, at_least, job_parser, run_job, settings_of

EXAMPLES = """examples:
  python jobs/extract.py --dataset phantom --plan             what would be done
  python jobs/extract.py --dataset phantom                    do it
  python jobs/extract.py --dataset folder --root ~/dicoms     your own files
  python jobs/extract.py --dataset folder --root s3://b/p --encoder dinov2-small --limit 100
"""


def flow(args: argparse.Namespace) -> Summary:
    settings = settings_of(args)
    plan = plan_extraction if args.plan else extract
    return plan(settings, limit=args.limit, retry_failed=args.retry_failed)


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    parser.add_argument("--plan", action="store_true", help="look only: what is new, and what it would cost")
    parser.add_argument(
        "--limit", type=at_least(1), metavar="N", help="take no more than N of the images that are to be done"
    )
    parser.add_argument("--retry-failed", action="store_true", help="try images again that failed before")
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
