"""One message about a run that failed without a word, as when its task was killed; started by a listener.

Or a message about a run, failed or withheld, that Slack did not take when its task sent it.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param
from retraining.notifications import TELLER
from retraining.operators import TellOperator
from retraining.policies import RETRIES

REPORT = Param(
    type="object", required=["summary", "url"], description="What is known of the run, and where its log is"
)

with DAG(
    dag_id=TELLER,
    description="Tell of a run that could not tell itself what happened",
    schedule=None,
    is_paused_upon_creation=False,
    render_template_as_native_obj=True,
    default_args=RETRIES,
    params={"report": REPORT},
    tags=["retraining"],
    doc_md=__doc__,
):
    TellOperator(task_id="tell", report="{{ params.report }}")
