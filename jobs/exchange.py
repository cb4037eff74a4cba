"""Bring in features that were made elsewhere, or hand out a split of what is stored.

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

from tilebank.flows.exchange.exchange import ACTIONS, EXPORTS, IMPORTS, SPLITS, Request, exchange
from tilebank.flows.reporting.job import Summary, job_parser, run_job, settings_of

EXAMPLES = """examples:
  python jobs/exchange.py import --from trident --root job_dir --dataset features --encoder uni_v1 --labels labels.csv
  python jobs/exchange.py import --from stamp --root feats --dataset features --encoder virchow2 --plan
  python jobs/tune_head.py --dataset features --encoder uni_v1 --task label --head tiles_only \\
      --set dataset.labels=labels.csv
  python jobs/exchange.py export --to clam --dataset phantom --task mass --split train --out exported
  python jobs/exchange.py export --to hf --dataset phantom --split test --out for-the-hub
"""


def flow(args: argparse.Namespace) -> Summary:
    args.set += [f"dataset.{key}={value}" for key in ("labels", "bag") if (value := getattr(args, key))]
    names = [field.name for field in fields(Request)]
    return exchange(settings_of(args), Request(**{name: getattr(args, name) for name in names}))


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    parser.add_argument("action", choices=ACTIONS, metavar="ACTION", help="import or export")
    sources, targets = ("; ".join(f"{name}: {what}" for name, what in kinds.items()) for kinds in (IMPORTS, EXPORTS))
    parser.add_argument("--from", dest="source", choices=IMPORTS, metavar="LAYOUT", help=f"import: {sources}")
    parser.add_argument("--labels", metavar="CSV", help="of slides: slide_id, patient_id or case_id, label, ...")
    parser.add_argument("--bag", choices=("slide", "patient"), help="import: what a bag is (as conf says: slide)")
    parser.add_argument("--plan", action="store_true", help="import: look only")
    parser.add_argument("--to", dest="target", choices=EXPORTS, metavar="LAYOUT", help=f"export: {targets}")
    parser.add_argument("--split", choices=SPLITS, default="train", help="export: which split (default train)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="export: where to, on this machine")
    parser.add_argument("--licence-allows", action="store_true", help="export though it is not redistributable")
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
