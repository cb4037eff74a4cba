"""Draw masks and tiles over some images, to be looked at before a large extraction.

Yellow is the outline of the breast, green the tiles, blue the square that stands for the whole view. Markers and labels
belong outside the yellow line; every bit of breast belongs inside a green square.
"""

import argparse
import sys
from pathlib import Path

from tilebank.flows.extract.preview import preview_tiles
from tilebank.flows.reporting.job import Summary, at_least, job_parser, run_job, settings_of

EXAMPLES = """examples:
  python jobs/preview_tiles.py --dataset phantom --out /tmp/preview
  python jobs/preview_tiles.py --dataset folder --root ~/dicoms --encoder dinov2-small --images 12
"""


def flow(args: argparse.Namespace) -> Summary:
    return preview_tiles(settings_of(args), out=args.out, images=args.images, height_px=args.height)


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    parser.add_argument("--out", type=Path, default=Path("preview"), metavar="FOLDER", help="(default ./preview)")
    parser.add_argument(
        "--images", type=at_least(1), default=8, metavar="N", help="how many, by breast and view (default 8)"
    )
    parser.add_argument("--height", type=at_least(64), default=1000, metavar="PX", help="of a picture (default 1000)")
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
