"""Search a head on stored vectors: 36 trials, the best by validation AUC is evaluated once on test and registered.

Patients are split 70/10/20. Every trial is a child run in MLflow with its curves; the parent run holds the champion's
figures with patient-level intervals, the plots, and the table version and fingerprint it was fitted on. A search that
was killed goes on with the same command: heads that are fitted are not fitted again, and the champion is the same.
"""

import argparse
import sys

from tilebank.flows.reporting.job import Summary, at_least, job_parser, run_job, settings_of
from tilebank.flows.search.ablation import tune_heads
from tilebank.flows.search.tune import tune_head

EXAMPLES = """examples:
  python jobs/tune_head.py --dataset phantom --trials 36
  python jobs/tune_head.py --dataset phantom --task calcification --head views_only
  python jobs/tune_head.py --dataset phantom --head asmil --set head.instances=tiles --trials 8
  python jobs/tune_head.py --dataset phantom --task density                        four classes, A to D
  python jobs/tune_head.py --dataset phantom --task findings                       mass and calcification, a score each
  python jobs/tune_head.py --dataset phantom --task mass --search ablation         eleven heads and their table
  python jobs/tune_head.py --dataset phantom --search random --trials 100         learning rate, width, ... at random
  python jobs/tune_head.py --dataset phantom --search optuna --set search.space.lr.high=0.05
  python jobs/tune_head.py --search random --set "search.head_space.view_pooling={choices: [max, mean]}"
  python jobs/tune_head.py --dataset phantom --trials 36 --pack 12                 three packs over GPUs, or cores
  python jobs/tune_head.py --dataset phantom --set search.shuffle_labels=true      a control: must score at chance
  python jobs/tune_head.py --dataset folder --set dataset.labels=labels.csv --encoder dinov2-small
"""


def flow(args: argparse.Namespace) -> Summary:
    for name, value in (("trials", args.trials), ("pack", args.pack)):
        if value is not None:
            args.set.append(f"search.{name}={value}")
    settings = settings_of(args)
    return tune_heads(settings, task=args.task) if settings.heads else tune_head(settings, task=args.task)


def main() -> int:
    parser = job_parser(__doc__, examples=EXAMPLES)
    parser.add_argument("--trials", type=at_least(1), metavar="N", help="heads to fit (default: as the search says)")
    parser.add_argument(
        "--pack", type=at_least(0), metavar="N", help="heads fitted together (default 0: even over GPUs, or CPU cores)"
    )
    return run_job(parser, flow, show=print)


if __name__ == "__main__":
    sys.exit(main())
