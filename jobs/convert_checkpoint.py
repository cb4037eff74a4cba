"""Convert weights that were published as a pickle to safetensors, without running code in them.

Needed for biomedclip, mammo-clip-b2 and mammo-clip-b5 only. Every class that the pickle names, but torch's own tensors,
is replaced by an empty one; only tensors are kept. Extraction never reads a pickle.
"""

import argparse
import sys
from pathlib import Path

from tilebank.flows.reporting.flags import JobParser
from tilebank.flows.reporting.job import Summary, run_job, settings_of

EXAMPLES = """examples:
  hf download microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224 open_clip_pytorch_model.bin --local-dir .
  tilebank convert --encoder biomedclip --file open_clip_pytorch_model.bin --folder ~/biomedclip
  tilebank extract --encoder biomedclip --set encoder.checkpoint=~/biomedclip
"""


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.encoders.conversion.convert import convert_checkpoint

    encoder = settings_of(args).encoder
    return convert_checkpoint(encoder, published=args.file.expanduser(), folder=args.folder.expanduser())


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    parser.share_as("encoder", "biomedclip, mammo-clip-b2 or mammo-clip-b5", required=True)
    what = "the published file (.bin, .tar)"
    parser.what.add_argument("--file", type=Path, required=True, metavar="PATH", help=what)
    what = "a new folder for the converted weights"
    parser.output.add_argument("--folder", type=Path, required=True, metavar="PATH", help=what)
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print))
