"""Import features that other tools made, or export a split of stored features.

import: slides of TRIDENT, CLAM, STAMP, torchmil or one h5 file become a dataset whose bag is a slide or a patient. Run
it again after any interruption: slides that are stored are left alone, files that failed are looked at again. Vectors
become float16; what that changes is counted, and values that do not fit are refused. --encoder is any name.

export: one split with its labels. The test split is written only when --split test asks for it. What may not be passed
on is refused, unless --licence-allows says that the owner lets you, or that the copy stays with you.
"""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from tilebank.flows.exchange.request import ACTIONS, EXPORTS, IMPORTS, SPLITS, Request
from tilebank.flows.reporting.flags import JobParser, one_of
from tilebank.flows.reporting.job import Summary, run_job, settings_of

EXAMPLES = """examples:
  tilebank exchange import --from trident --root job_dir --dataset features --encoder uni_v1 --labels labels.csv
  tilebank exchange import --from stamp --root feats --dataset features --encoder virchow2 --plan
  tilebank tune --dataset features --encoder uni_v1 --task label --head tiles_only \\
      --set dataset.labels=labels.csv
  tilebank exchange export --to clam --dataset phantom --task mass --split train --out exported
  tilebank exchange export --to hf --dataset phantom --split test --out for-the-hub
"""


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.exchange.exchange import exchange

    return exchange(settings_of(args), Request(**{each.name: getattr(args, each.name) for each in fields(Request)}))


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    take = parser.what.add_argument
    take("action", choices=ACTIONS, metavar="ACTION", help="import or export")
    sources, targets = ("; ".join(f"{name}: {what}" for name, what in kinds.items()) for kinds in (IMPORTS, EXPORTS))
    parser.share("dataset", "root", "store", "task")
    parser.share_as("encoder", "import: any name, of what made the features; export: whose vectors", default="texture")
    take("--from", dest="source", choices=IMPORTS, metavar="LAYOUT", help=f"import: {sources}")
    what = "of slides: slide_id, patient_id or case_id, label, ..."
    parser.add_setting("--labels", "dataset.labels", metavar="CSV", what=what, group="what")
    bags, what = one_of(("slide", "patient")), "import: what a bag is, a slide or a patient (as conf says: slide)"
    parser.add_setting("--bag", "dataset.bag", kind=bags, metavar="WHAT", what=what)
    parser.how.add_argument("--plan", action="store_true", help="import: only look")
    take("--to", dest="target", choices=EXPORTS, metavar="LAYOUT", help=f"export: {targets}")
    take("--split", choices=SPLITS, default="train", help="export: which split (default train)")
    what = "export though the dataset is not redistributable"
    parser.how.add_argument("--licence-allows", action="store_true", help=what)
    parser.output.add_argument("--out", type=Path, metavar="FOLDER", help="export: where to, on this machine")
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print))
