"""Check every file of a dataset before an extraction: what is taken, what is not, and why.

Reads all headers (with --pixels all pixels too) and stores nothing. `accept`: an extraction takes it. `filter`: fit for
use, but not asked for by dataset.intake. `refuse`: cannot be used as it is; the reason says what to mend.
Splits that a search would refuse, since one lacks a class, are flagged. The exit status is 1 when no file is accepted,
when no task with labels can be searched, or with --task when that one cannot.
"""

import argparse
import sys
from pathlib import Path

from tilebank.flows.reporting.flags import JobParser, at_least
from tilebank.flows.reporting.job import Summary, run_job, settings_of

EXAMPLES = """examples:
  tilebank validate --root ~/dicoms                                    your own files
  tilebank validate --root ~/dicoms --pixels --csv files.csv           decode them all, a row a file
  tilebank validate --dataset embed --root s3://b/p --html embed.html --sample 24
"""


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.validate.validate import validate

    settings = settings_of(args)
    return validate(settings, pixels=args.pixels, sample=args.sample, html=args.html, csv=args.csv, task=args.task)


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    parser.share("dataset", "root", "store")
    parser.share_as("encoder", "whose tile size --pixels uses", default="texture")
    parser.share_as("task", "a task that has to be searchable (default: any with labels)")
    parser.how.add_argument("--pixels", action="store_true", help="decode and mask every accepted image too")
    what = "accepted images to draw in the page (default 8)"
    parser.output.add_argument("--sample", type=at_least(0), default=8, metavar="N", help=what)
    what = "the page (default ./validation.html)"
    parser.output.add_argument("--html", type=Path, default=Path("validation.html"), metavar="PATH", help=what)
    parser.output.add_argument("--csv", type=Path, metavar="PATH", help="write a row a file")
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print))
