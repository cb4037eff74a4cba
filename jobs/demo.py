"""Show the whole road on synthetic mammograms: phantoms, extraction, a search of 36 heads, a report.

Made for a laptop: about three minutes on two CPU cores. --full is the larger study of the README's figures. What stands
from an earlier call is not made again; a call that was interrupted goes on.
"""

import argparse
import sys

from tilebank.flows.reporting.job import Summary, at_least, job_parser, run_job, settings_of

EXAMPLES = """examples:
  tilebank demo                     150 patients, one exam each
  tilebank demo --full              150 patients, 844 larger images
  tilebank demo --patients 60       fewer patients: quicker, a wider interval
"""


def flow(args: argparse.Namespace) -> Summary:
    from tqdm import tqdm

    from tilebank.flows.demo.demo import run_demo
    from tilebank.flows.demo.study import dataset_of, study_of

    args.dataset = dataset_of(full=args.full)
    study = study_of(settings_of(args), full=args.full, patients=args.patients)
    with tqdm(unit="image", desc="phantoms", dynamic_ncols=True) as bar:
        return run_demo(study, announce=lambda line: tqdm.write(line, file=sys.stderr), progress=bar.update)


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    parser.add_argument("--full", action="store_true", help="the full phantom study: 844 images of 2048 x 1536")
    parser.add_argument("--patients", type=at_least(10), metavar="N", help="a study of N patients instead")
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
