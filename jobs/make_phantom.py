"""Write a synthetic study: mammograms as real DICOM files, with the truth about every breast.

Same seed, same bytes. A root that already holds the same study is left alone.
"""

import argparse
import sys

from tilebank.flows.reporting.flags import JobParser
from tilebank.flows.reporting.job import Summary, run_job, settings_of
from tilebank.flows.reporting.progress import progress_bar
from tilebank.phantom.config import PhantomConfig

EXAMPLES = """examples:
  tilebank phantom                          the default study, under the dataset's root
  tilebank phantom --patients 12 --rows 1024 --columns 768 --root /tmp/small
"""
SIZES = {"patients": "how many", "rows": "of an image", "columns": "of an image", "seed": "of every random choice"}


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.phantom.plan import count_images, plan_exams
    from tilebank.phantom.writer import write_phantoms

    root = settings_of(args).dataset.root
    config = PhantomConfig(**{name: getattr(args, name) for name in SIZES})
    images = count_images(plan_exams(config))
    with progress_bar("phantoms", unit="image", total=images, leave=False) as bar:
        return write_phantoms(root, config, progress=bar.update)


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    parser.share_as("dataset", "whose root to write to", default="phantom")
    parser.share_as("root", "where to write, if not to the root of the dataset")
    for name, what in SIZES.items():
        default = getattr(PhantomConfig(), name)
        parser.how.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{what} (default {default})")
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print))
