"""Write the configuration of a new dataset, so that --dataset NAME is enough in every job.

Looks at the label table and at a few files, says what it saw, and writes datasets/NAME.yaml into your configuration
folder ($TILEBANK_CONF, else ./conf). Nothing else is written, and no image is decoded.
"""

import argparse
import sys

from tilebank.flows.reporting.flags import JobParser
from tilebank.flows.reporting.job import Summary, run_job

EXAMPLES = """examples:
  tilebank init mystudy --root ~/dicoms --labels labels.csv
  tilebank init mystudy --root ~/dicoms --labels labels.csv --exam-key study_uid --licence CC-BY-4.0 --redistributable
  tilebank init embed-emory --adapter embed --root s3://my-bucket/embed
"""


def flow(args: argparse.Namespace) -> Summary:
    from tilebank.flows.init.init import InitRequest, init_dataset

    names = ("name", "root", "labels", "adapter", "exam_key", "licence", "redistributable", "force")
    return init_dataset(InitRequest(**{name: getattr(args, name) for name in names}))


def parser() -> JobParser:
    parser = JobParser(__file__, __doc__, examples=EXAMPLES)
    parser.what.add_argument("name", metavar="NAME", help="what to call the dataset")
    parser.share_as("root", "folder or s3:// prefix that holds the images", required=True)
    what = "table of labels: breast_id, or exam_id and laterality; then birads, cancer, masses, ..."
    parser.where.add_argument("--labels", default="", metavar="CSV", help=what)
    what = "folder for any DICOMs (default), or the public dataset it is: embed, vindr, rsna, cmmd, cbis, features"
    parser.how.add_argument("--adapter", default="folder", metavar="NAME", help=what)
    what = "the DICOM tag that holds the labels' exam_id (default: the one that fits the labels)"
    parser.how.add_argument("--exam-key", choices=["accession_number", "study_uid"], help=what)
    parser.how.add_argument("--licence", default="", metavar="NAME", help="the data's licence (default unknown)")
    what = "vectors and heads made from the data may be shared"
    parser.how.add_argument("--redistributable", action="store_true", help=what)
    parser.output.add_argument("--force", action="store_true", help="replace the file if it exists")
    return parser


if __name__ == "__main__":
    sys.exit(run_job(parser(), flow, show=print))
