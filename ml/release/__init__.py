"""Publishing models, finding out what is published, and writing each night into MLflow.

::

    production      what really serves, resolved once a night
    push            the publication: gate and fence, two phases, undone or finished whatever happens
    rollout         a few users first: a version on trial beside the stable one
    rollback        the way back to a version that has been served before
    watch           every few minutes, whether what serves does harm; back if an alert blames it
    golden_version  the version that a person trusts; rehearsal, the way back to it on a scratch server
    ledger          every move and who made it; history, what its lines come to
    reconciliation  model server, registry and ledger side by side
    night           the night's MLflow run
    backfill        the MLflow run of a backfill, with its nights below it

Neither TensorFlow nor MLflow is imported before one of these functions is called.
"""

from ml.release.backfill import Backfill, ReportedBackfill, read_backfill, report_backfill
from ml.release.fence import check_blessing, check_not_what_if
from ml.release.night import LoggedRun, Night, comparison_url, log_to_mlflow
from ml.release.production import Records, read_production, resolve_production
from ml.release.push import Push, push_canary, push_model
from ml.release.survey import Served, survey_production

__all__ = [
    "Backfill",
    "LoggedRun",
    "Night",
    "Push",
    "Records",
    "ReportedBackfill",
    "Served",
    "check_blessing",
    "check_not_what_if",
    "comparison_url",
    "log_to_mlflow",
    "push_canary",
    "push_model",
    "read_backfill",
    "read_production",
    "report_backfill",
    "resolve_production",
    "survey_production",
]
