"""Write the phantom study: synthetic mammograms as real DICOM files, with the truth about every breast beside them.

Same seed, same bytes. A root that already holds the same study is left alone.
"""

import argparse
import sys

from tqdm import tqdm

from tilebank.flows.reporting.job import Summary, job_parser, run_job, settings_of
from tilebank.phantom.writer import PhantomConfig, write_phantoms

EXAMPLES = """examples:
  python jobs/make_phantom.py                          the default study, under the dataset's root
  python jobs/make_phantom.py --patients 12 --rows 1024 --columns 768 --root /tmp/small
"""
SIZES = ("patients", "rows", "columns", "seed")


def flow(args: argparse.Namespace) -> Summary:
    root = settings_of(args).dataset.root
    config = PhantomConfig(**{name: getattr(args, name) for name in SIZES})
    with tqdm(unit="image", desc="phantoms", dynamic_ncols=True) as bar:
        return write_phantoms(root, config, progress=bar.update)


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    for name in SIZES:
        default = getattr(PhantomConfig(), name)
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"(default {default})")
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
