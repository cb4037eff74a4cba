"""Show the whole road on synthetic mammograms: phantoms, extraction, a search of 36 heads, a report.

Takes about 3 minutes on two CPU cores. --full is the larger study of the documentation's figures. What stands from
an earlier call is not made again; a call that was interrupted goes on.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from tilebank.flows.reporting.flags import JobParser, at_least, choices_of
from tilebank.flows.reporting.job import Summary, run_job

if TYPE_CHECKING:
    from tilebank.flows.settings.settings import Settings

EXAMPLES = """examples:
  tilebank demo                     80 patients, one exam each: 320 images
  tilebank demo --full              150 patients, up to three exams each: 844 images
  tilebank demo --patients 60       fewer patients: quicker, wider intervals
"""


def settings(args: argparse.Namespace) -> "Settings":
    from tilebank.flows.demo.study import choices_of_study
    from tilebank.flows.settings.settings import load_settings

    return load_settings(choices_of_study(choices_of(args, dataset=""), full=args.full))


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.demo.demo import run_demo
    from tilebank.flows.demo.study import study_of

    study = study_of(settings(args), full=args.full, patients=args.patients)
    return run_demo(study, announce=lambda line: None if args.quiet else print(line, file=sys.stderr))


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    parser.what.add_argument("--full", action="store_true", help="844 images of 150 patients instead of 320 of 80")
    parser.what.add_argument("--patients", type=at_least(10), metavar="N", help="another number of patients")
    parser.share("store", "tracking")
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print, settings=settings))
