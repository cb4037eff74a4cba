"""Time the platform's parts on this machine; every ratio is to a named variant of the same run, on the same input.

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

from tilebank.bench.run import PARTS, BenchSizes, bench_parts
from tilebank.flows.reporting.job import Summary, job_parser, run_job, settings_of

EXAMPLES = """examples:
  python jobs/bench.py search --breasts 1700 --tiles-a-breast 60 --dim 384 --json bench.json
  python jobs/bench.py encode --device cuda --encoders dinov2-giant,medsiglip-448
  python jobs/bench.py extract --rows 3328 --columns 2560 --jpeg2000 --images 24
      --encoder dinov2-small --set encoder.checkpoint=FOLDER
  python jobs/bench.py tables --vectors 1000000
  python jobs/bench.py heads assumptions --json heads.json
"""


def flow(args: argparse.Namespace) -> Summary:
    sizes = BenchSizes(**{field.name: getattr(args, field.name) for field in fields(BenchSizes)})
    settings = settings_of(args)
    names = [name for name in args.encoders.split(",") if name]
    encoders = [settings_of(argparse.Namespace(**vars(args) | {"encoder": name})).encoder for name in names]
    return bench_parts(settings, args.parts, sizes=sizes, encoders=encoders, device=args.device)


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all but heads and assumptions)"
    )
    parser.add_argument(
        "--device", choices=("auto", "cuda", "cpu"), default="auto", help="for encode (default: a GPU if there is one)"
    )
    parser.add_argument("--encoders", default="", metavar="NAME,...", help="for encode, in place of --encoder")
    for field in fields(BenchSizes):
        flag, what = f"--{field.name.replace('_', '-')}", field.metadata["what"]
        if field.type is bool:
            parser.add_argument(flag, action="store_true", help=what)
        else:
            what = f"{what} (default {field.default})"
            parser.add_argument(flag, type=int, default=field.default, metavar="N", help=what)
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
