"""Import a head that was fitted elsewhere with the published code's parameter names (global_proj_0.0, k, latent, ...).

The checkpoint is safetensors, or a torch file that holds tensors alone: no code in it is run. It does not say what its
vectors were, so say it: --dataset and --task that it was fitted for, --encoder and whatever --set made its vectors
(reader.intensity=published for the reference way), and whether they had length one. That is written on its card, and
jobs/predict.py takes it from there. With --register it becomes a version in MLflow too, and never a champion.
"""

import argparse
import sys
from pathlib import Path

from tilebank.flows.champion.import_published import Stated, import_head
from tilebank.flows.reporting.job import Summary, job_parser, run_job, settings_of

EXAMPLES = """examples:
  python jobs/import_head.py --checkpoint head.pth --out ~/heads/published --dataset embed --task malignancy
      --encoder dinov2-giant --set reader.intensity=published --l2-normalise yes
  python jobs/predict.py --head ~/heads/published --folder ~/dicoms
  python jobs/import_head.py --checkpoint head.safetensors --out h --dataset embed --task malignancy
      --encoder medsiglip-448 --l2-normalise no --threshold 0.31 --register embed--malignancy--medsiglip-448
"""


def flow(args: argparse.Namespace) -> Summary:
    stated = Stated(args.task, args.l2_normalise == "yes", args.threshold, args.view_pooling, args.tile_pooling)
    checkpoint, out = args.checkpoint.expanduser(), args.out.expanduser()
    return import_head(settings_of(args), stated, checkpoint=checkpoint, folder=out, register=args.register)


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="PATH", help="the state dict of the head")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder for the head")
    for flag in ("dataset", "encoder", "task"):
        parser.add_argument(f"--{flag}", required=True, metavar="NAME", help="that it was fitted on: no default here")
    what = "whether it was fitted on vectors of length one; the file does not say"
    parser.add_argument("--l2-normalise", choices=("yes", "no"), required=True, help=what)
    parser.add_argument("--threshold", type=float, metavar="SCORE", help="its operating point, if there is one")
    for stream in ("view", "tile"):
        what = f"how it pools {stream}s where it has no attention (default max)"
        parser.add_argument(f"--{stream}-pooling", choices=("max", "mean"), default="max", help=what)
    parser.add_argument("--register", default="", metavar="NAME", help="register it in MLflow under this name")
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
