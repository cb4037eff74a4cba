"""Time the platform's parts on this machine, side by side on the same input.

phantom   write the study: one process, one process per core
read      from bytes to tiles, stage by stage
encode    encoders at several batch sizes, and as a share of the device's matmul peak; random weights if none are given
extract   (a) encoder only, (b) a plain loop, (c) an extraction through Ray, (d) the reference code
store     commits and reads, against plain .npy files
tables    one large table: commit, verify, compact, index, read a split, against np.fromfile
search    many heads in packs, in a plain loop, and as in the released code
and, only when named:
heads     fit each head, single and eight in a pack, on one thread; torchmil's ABMIL too if installed
assumptions  no timing: which heads learn from the content of a bag, and which from shortcuts (Raff and Holt, 2023)
"""

import argparse
import sys
from dataclasses import fields

from tilebank.bench.parts import PARTS, BenchSizes
from tilebank.flows.reporting.flags import JobParser
from tilebank.flows.reporting.job import Summary, run_job, settings_of

EXAMPLES = """examples:
  tilebank bench search --breasts 1700 --tiles-a-breast 60 --dim 384 --json bench.json
  tilebank bench encode --device cuda --encoders dinov2-giant,medsiglip-448
  tilebank bench extract --rows 3328 --columns 2560 --jpeg2000 --images 24
      --encoder dinov2-small --set encoder.checkpoint=FOLDER
  tilebank bench tables --vectors 1000000
  tilebank bench heads assumptions --json heads.json
"""


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.bench.run import bench_parts

    sizes = BenchSizes(**{field.name: getattr(args, field.name) for field in fields(BenchSizes)})
    names = [name for name in args.encoders.split(",") if name]
    encoders = [settings_of(argparse.Namespace(**vars(args) | {"encoder": name})).encoder for name in names]
    return bench_parts(settings_of(args), args.parts, sizes=sizes, encoders=encoders, device=args.device)


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    what = f"{', '.join(PARTS)} (default: all but heads and assumptions)"
    parser.what.add_argument("parts", nargs="*", metavar="PART", help=what)
    parser.share("encoder", "search")
    parser.what.add_argument("--encoders", default="", metavar="NAME,...", help="for encode, in place of --encoder")
    what = "for encode (default auto: a GPU if there is one)"
    parser.how.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help=what)
    for field in fields(BenchSizes):
        flag, what = f"--{field.name.replace('_', '-')}", field.metadata["what"]
        size = {"type": int, "default": field.default, "metavar": "N"}
        kind = {"action": "store_true"} if field.type is bool else size
        parser.how.add_argument(flag, help=what + f" (default {field.default})" * (kind is size), **kind)
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print))
