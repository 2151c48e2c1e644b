"""
Digits read as sequences
========================

Handwritten digits, row by row and pixel by pixel, against logistic regression on all pixels. ::

    pip install 'bptt[examples]'
    python examples/digits.py   # two minutes

The 1,797 images of handwritten digits, 8 by 8 pixels, come with scikit-learn. They are the test set of
Alpaydin and Kaynak's Optical Recognition of Handwritten Digits (1998), UCI Machine Learning Repository. A
network reads one row of 8 pixels at a time, or one pixel at a time, and predicts the digit after the last.

Each seed splits the images again: three quarters for training and one quarter for the test. All models get
the same split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import results

import bptt
from bptt.diagnose.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array: TypeAlias = npt.NDArray[Any]

ROWS: dict[str, Any] = {"hidden_size": 64, "bidirectional": True, "dropout": 0.3, "epochs": 60, "lr": 3e-3}
PIXELS: dict[str, Any] = {"cell": "gru", "hidden_size": 128, "dropout": 0.2, "epochs": 100, "lr": 3e-3}
QUICK = {"epochs": 8, "hidden_size": 32}
C = (0.01, 0.1, 1.0)
"""Inverse penalties of logistic regression, from which cross-validation chooses."""


# %%
# Data
# ----
# Images as sequences: eight rows of eight pixels, or 64 single pixels.


def load() -> tuple[Array, Array]:
    """Return images (n, 8, 8) in [0, 1], and their digits."""
    data = results.need("sklearn.datasets", "scikit-learn").load_digits()
    return data.images / 16.0, data.target


def split(digits: Array, seed: int) -> tuple[Array, Array]:
    """Return the indices of the training images and of the test images."""
    selection = results.need("sklearn.model_selection", "scikit-learn")
    train, test = selection.train_test_split(
        np.arange(len(digits)), test_size=0.25, stratify=digits, random_state=seed
    )
    return train, test


# %%
# Models
# ------
# A network from the estimators of ``bptt``, and logistic regression as the baseline. Both get the same
# images.


def classifier(seed: int, settings: dict[str, Any]) -> Any:
    """Return a network as a scikit-learn estimator."""
    return results.need("bptt.estimators", "scikit-learn").SequenceClassifier(random_state=seed, **settings)


def logistic_regression(seed: int) -> Any:
    """Return logistic regression on all 64 pixels, with a penalty chosen by cross-validation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return GridSearchCV(LogisticRegression(max_iter=2000), {"C": C}, cv=folds)


# %%
# Picture
# -------
# The network can be asked after each row, because it reads one row at a time.


def belief(model: Any, image: Array) -> Array:
    """Return the probabilities (rows, 10) of a fitted classifier after 1, 2, ... rows of an image."""
    beliefs: Array = np.concatenate(
        [model.predict_proba(image[None, :rows]) for rows in range(1, len(image) + 1)]
    )
    return beliefs


def draw(figure: Figure, scores: dict[str, Array], image: Array, digit: int, beliefs: Array) -> None:
    """Draw the probabilities after each row of an image, and the accuracy of every seed."""
    picture, believed, accuracy = figure.subplots(1, 3, width_ratios=(1, 1.35, 1.35))
    picture.imshow(image, cmap="Greys")
    picture.set(title=f"A {digit}, read row by row", ylabel="row", xticks=[])
    believed.imshow(beliefs, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    believed.set(title="Its probabilities after each row", xlabel="digit", xticks=range(10))
    for axes in (picture, believed):
        axes.set_yticks(range(len(image)), [str(row + 1) for row in range(len(image))])
    for k, shares in enumerate(scores.values()):
        spread = np.linspace(-0.12, 0.12, len(shares)) if len(shares) > 1 else np.zeros(1)
        accuracy.plot(k + spread, 100 * shares, canvas.MARKERS[k], color=canvas.COLOURS[k], markersize=5)
        accuracy.hlines(100 * shares.mean(), k - 0.3, k + 0.3, color=canvas.COLOURS[k])
    accuracy.set(title="Test accuracy of each seed", ylabel="right, %", xlim=(-0.6, len(scores) - 0.4))
    canvas.tidy(accuracy)
    accuracy.set_xticks(range(len(scores)), [name.replace(" ", "\n", 1) for name in scores])


# %%
# Run it
# ------
# Five seeds, each with its own split into training and test images.


def main(arguments: Sequence[str] | None = None) -> None:
    options = results.read_options("digits", "Reads digits as sequences.", arguments, seeds=5)
    bptt.set_num_threads(1)  # networks so small gain little from a second
    images, digits = load()
    short = QUICK if options.quick else {}
    models: dict[str, tuple[Array, Any]] = {
        "LSTM row by row": (images, lambda seed: classifier(seed, ROWS | short)),
        "GRU pixel by pixel": (images.reshape(-1, 64), lambda seed: classifier(seed, PIXELS | short)),
        "logistic regression": (images.reshape(-1, 64), logistic_regression),
    }
    limits = results.need("threadpoolctl", "threadpoolctl").threadpool_limits
    scores: dict[str, list[float]] = {name: [] for name in models}
    for seed in range(options.seeds):
        train, test = split(digits, seed)
        for name, (X, make) in models.items():
            # Limit the threads of the baseline, too: on a busy machine they would wait for each other.
            with limits(1):
                model = make(seed).fit(X[train], digits[train])
            scores[name].append(model.score(X[test], digits[test]))
            print(f"seed {seed}: {name}, {scores[name][-1]:.1%} right", flush=True)
            if seed == 0 and X is images:
                shown = test[0]
                beliefs = belief(model, images[shown])

    shares = {name: np.array(values) for name, values in scores.items()}
    table = results.Table(["right, of unseen images", "mean", "worst seed", "best seed"])
    for name, values in shares.items():
        figures = (values.mean(), values.min(), values.max())
        table.rows.append([name, *(f"{figure:.2%}" for figure in figures)])
    baseline = shares.pop("logistic regression")
    behind = (f"{name} in {np.count_nonzero(values < baseline)}" for name, values in shares.items())
    table.note = (
        f"{len(test)} test images for each seed; behind logistic regression on the same: {', '.join(behind)} "
        f"of {options.seeds}. " + results.made_by(options)
    )
    failures = [
        f"logistic regression ({baseline.mean():.2%}) by {name} ({values.mean():.2%})"
        for name, values in shares.items()
        if not values.mean() > baseline.mean()
    ]
    shares["logistic regression"] = baseline
    results.deliver(
        options,
        table,
        lambda figure: draw(figure, shares, images[shown], digits[shown], beliefs),
        (10.0, 3.6),
        failures,
    )


if __name__ == "__main__":
    main()
