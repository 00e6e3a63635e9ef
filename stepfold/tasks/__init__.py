"""What models are asked for beside conversations: briefs, and tasks that come ready."""

from collections.abc import Mapping

from stepfold.tasks.brief import Brief, Json, Ready, TaskRefused, filled
from stepfold.tasks.classify import Classify
from stepfold.tasks.describe_image import DescribeImage
from stepfold.tasks.describe_table import DescribeTable
from stepfold.tasks.extract import Extract
from stepfold.tasks.judge import Judge, Judgement, checked, grounds, judged
from stepfold.tasks.summarise import Said, Summarise, told

READY: Mapping[str, type[Ready]] = {
    task.name: task for task in (Classify, DescribeImage, DescribeTable, Extract, Judge, Summarise)
}
"""By name, which is that of the route too."""

__all__ = [
    "READY",
    "Brief",
    "Classify",
    "DescribeImage",
    "DescribeTable",
    "Extract",
    "Json",
    "Judge",
    "Judgement",
    "Ready",
    "Said",
    "Summarise",
    "TaskRefused",
    "checked",
    "filled",
    "grounds",
    "judged",
    "told",
]
