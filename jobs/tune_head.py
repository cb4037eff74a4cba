"""Fit many heads on stored vectors; the best on validation is tested once and registered.

By default 36 trials are fitted, and the highest validation AUC is the champion.

Patients are split 70/10/20. Every trial is a child run in MLflow with its curves; the parent run holds the champion's
figures with patient-level intervals, the plots, and the table version and fingerprint it was fitted on. A search that
was killed goes on with the same command: heads that are fitted are not fitted again, and the champion is the same.
"""

import argparse
import sys

from tilebank.datasets.labels import TASKS
from tilebank.flows.reporting.flags import JobParser, at_least
from tilebank.flows.reporting.job import Summary, run_job, settings_of

EXAMPLES = """examples:
  tilebank tune --dataset phantom --trials 36
  tilebank tune --dataset phantom --task calcification --head views_only
  tilebank tune --dataset phantom --head asmil --set head.instances=tiles --trials 8
  tilebank tune --dataset phantom --task density                        four classes, A to D
  tilebank tune --dataset phantom --task findings                       mass and calcification, a score each
  tilebank tune --dataset phantom --task mass --search ablation         eleven heads and their table
  tilebank tune --dataset phantom --search random --trials 100         learning rate, width, ... at random
  tilebank tune --dataset phantom --search optuna --set search.space.lr.high=0.05
  tilebank tune --search random --set "search.head_space.view_pooling={choices: [max, mean]}"
  tilebank tune --dataset phantom --trials 36 --pack 12                 three packs over GPUs, or cores
  tilebank tune --dataset phantom --set search.shuffle_labels=true      a control: must score at chance
  tilebank tune --dataset folder --set dataset.labels=labels.csv --encoder dinov2-small
"""


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.search.ablation import tune_heads
    from tilebank.flows.search.tune import tune_head

    settings = settings_of(args)
    return tune_heads(settings, task=args.task) if settings.heads else tune_head(settings, task=args.task)


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    parser.share("dataset", "encoder", "root", "store", "tracking")
    parser.share_as("task", "which question; see the list of tasks below", default="malignancy")
    parser.add_list("tasks", {name: task.rule for name, task in TASKS.items()})
    parser.share_as("head", parser.list_names("head"), default="dual_stream")
    parser.share_as("search", parser.list_names("search"), default="seeds")
    what = "heads to fit (default: as the search says)"
    parser.add_setting("--trials", "search.trials", kind=at_least(1), metavar="N", what=what)
    what = "heads fitted together (default 0: even over GPUs, or CPU cores)"
    parser.add_setting("--pack", "search.pack", kind=at_least(0), metavar="N", what=what)
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print))
