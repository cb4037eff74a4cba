"""Import a head that was fitted with the published code.

It is recognised by the published parameter names (global_proj_0.0, k, latent, ...).

The checkpoint is safetensors, or a torch file that holds tensors alone: no code in it is run. It does not say what its
vectors were, so say it: --dataset and --task that it was fitted for, --encoder and whatever --set made its vectors
(reader.intensity=published for the reference way), and whether they had length one. That is written on its card, and
tilebank predict takes it from there. With --register it becomes a version in MLflow too, and never a champion.
"""

import argparse
import sys
from pathlib import Path

from tilebank.flows.reporting.flags import JobParser
from tilebank.flows.reporting.job import Summary, run_job, settings_of

EXAMPLES = """examples:
  tilebank import-head --checkpoint head.pth --out ~/heads/published --dataset embed --task malignancy
      --encoder dinov2-giant --set reader.intensity=published --l2-normalise yes
  tilebank predict --head ~/heads/published --folder ~/dicoms
  tilebank import-head --checkpoint head.safetensors --out h --dataset embed --task malignancy
      --encoder medsiglip-448 --l2-normalise no --threshold 0.31 --register embed--malignancy--medsiglip-448
"""


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.champion.import_published import Stated, import_head

    stated = Stated(args.task, args.l2_normalise == "yes", args.threshold, args.view_pooling, args.tile_pooling)
    checkpoint, out = args.checkpoint.expanduser(), args.out.expanduser()
    return import_head(settings_of(args), stated, checkpoint=checkpoint, folder=out, register=args.register)


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    take = parser.what.add_argument
    take("--checkpoint", type=Path, required=True, metavar="PATH", help="the state dict of the head")
    for name in ("dataset", "encoder", "task"):
        parser.share_as(name, f"the {name} that the head was fitted on; there is no default", required=True)
    what = "whether it was fitted on vectors of length one; the file does not say"
    take("--l2-normalise", choices=("yes", "no"), required=True, help=what)
    take("--threshold", type=float, metavar="SCORE", help="its operating point, if there is one")
    for stream in ("view", "tile"):
        what = f"how it pools {stream}s where it has no attention (default max)"
        take(f"--{stream}-pooling", choices=("max", "mean"), default="max", help=what)
    parser.share("tracking")
    parser.output.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder for the head")
    what = "register it in MLflow under this name"
    parser.output.add_argument("--register", default="", metavar="NAME", help=what)
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print))
