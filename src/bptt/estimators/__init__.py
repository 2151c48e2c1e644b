"""scikit-learn estimators: `SequenceClassifier`, `SequenceRegressor`, `Forecaster`.

This package requires scikit-learn 1.6 or later (`pip install 'bptt[sklearn]'`). `import bptt` does not import
scikit-learn. After `import bptt.estimators`, `threadpoolctl` reports and limits bptt's threads.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "sklearn":
        raise
    raise ImportError("bptt.estimators needs scikit-learn: pip install 'bptt[sklearn]'") from error

from bptt.estimators.classifier import SequenceClassifier
from bptt.estimators.forecaster import Forecaster
from bptt.estimators.regressor import SequenceRegressor
from bptt.estimators.threads import register as _register

_register()

__all__ = ["Forecaster", "SequenceClassifier", "SequenceRegressor"]
