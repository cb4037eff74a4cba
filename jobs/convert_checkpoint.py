"""Convert weights that were published as a pickle into safetensors, once, without running anything in them.

Needed for biomedclip, mammo-clip-b2 and mammo-clip-b5 only. Every class that the pickle names, but torch's own tensors,
is replaced by an empty one; only tensors are kept. Extraction never reads a pickle.
"""

import argparse
import sys
from pathlib import Path

from tilebank.encoders.conversion.convert import convert_checkpoint
from tilebank.flows.reporting.job import Summary, job_parser, run_job, settings_of

EXAMPLES = """examples:
  hf download microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224 open_clip_pytorch_model.bin --local-dir .
  python jobs/convert_checkpoint.py --encoder biomedclip --file open_clip_pytorch_model.bin --folder ~/biomedclip
  python jobs/extract.py --encoder biomedclip --set encoder.checkpoint=~/biomedclip
"""


def flow(args: argparse.Namespace) -> Summary:
    encoder = settings_of(args).encoder
    return convert_checkpoint(encoder, published=args.file.expanduser(), folder=args.folder.expanduser())


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    parser.add_argument("--file", type=Path, required=True, metavar="PATH", help="the published file (.bin, .tar)")
    parser.add_argument(
        "--folder", type=Path, required=True, metavar="PATH", help="a new folder for what is made of it"
    )
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
