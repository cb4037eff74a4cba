"""Draw breast masks and tiles over some images, to look at before a large extraction.

Yellow is the outline of the breast, green the tiles, blue the square that stands for the whole view. Markers and labels
belong outside the yellow line; every bit of breast belongs inside a green square.
"""

import argparse
import sys
from pathlib import Path

from tilebank.flows.reporting.flags import JobParser, at_least
from tilebank.flows.reporting.job import Summary, run_job, settings_of

EXAMPLES = """examples:
  tilebank preview --dataset phantom --out /tmp/preview
  tilebank preview --dataset folder --root ~/dicoms --encoder dinov2-small --images 12
"""


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.extract.preview import preview_tiles

    return preview_tiles(settings_of(args), out=args.out, images=args.images, height_px=args.height)


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    parser.share("dataset", "root", "encoder")
    what = "how many, by breast and view (default 8)"
    parser.what.add_argument("--images", type=at_least(1), default=8, metavar="N", help=what)
    what = "of a picture (default 1000)"
    parser.output.add_argument("--height", type=at_least(64), default=1000, metavar="PX", help=what)
    what = "(default ./preview)"
    parser.output.add_argument("--out", type=Path, default=Path("preview"), metavar="FOLDER", help=what)
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print))
