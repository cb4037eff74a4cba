"""Say what an extraction would do with every file of a dataset, and why: a page for people, a CSV for programs.

Reads all headers (with --pixels all pixels too) and stores nothing. `accept`: an extraction takes it. `filter`: fit for
use, but not asked for by dataset.intake. `refuse`: cannot be used as it is; the reason says what to mend.
--root without --dataset means the dataset `folder`. Splits that a search would refuse, since one lacks a class, are
flagged. The exit status is 1 when no file is accepted, when no task with labels can be searched, or with --task when
that one cannot.
"""

import argparse
import sys
from pathlib import Path

from tilebank.flows.reporting.job import Summary, at_least, job_parser, run_job, settings_of
from tilebank.flows.validate.validate import validate

EXAMPLES = """examples:
  python jobs/validate.py --root ~/dicoms                                    your own files
  python jobs/validate.py --root ~/dicoms --pixels --csv files.csv           decode them all, a row a file
  python jobs/validate.py --dataset embed --root s3://b/p --html embed.html --sample 24
"""
UNSAID = "phantom; folder with --root"


def flow(args: argparse.Namespace) -> Summary:
    if args.dataset == UNSAID:
        args.dataset = "folder" if args.root else "phantom"
    settings = settings_of(args)
    return validate(settings, pixels=args.pixels, sample=args.sample, html=args.html, csv=args.csv, task=args.task)


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    parser.set_defaults(dataset=UNSAID)
    parser.add_argument("--task", default="", metavar="NAME", help="a task that has to be searchable (default: any)")
    parser.add_argument("--pixels", action="store_true", help="decode and mask every accepted image too")
    parser.add_argument(
        "--html", type=Path, default=Path("validation.html"), metavar="PATH", help="(default ./validation.html)"
    )
    parser.add_argument("--csv", type=Path, metavar="PATH", help="write a row a file")
    parser.add_argument(
        "--sample", type=at_least(0), default=8, metavar="N", help="accepted images to draw in the page (default 8)"
    )
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
