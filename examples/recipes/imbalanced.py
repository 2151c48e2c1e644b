"""
Find the eights among handwritten digits, one in ten: a classifier with class weights.

    pip install 'bptt[examples]'
    python examples/recipes/imbalanced.py

The 1,797 images, 8 by 8 pixels, come with scikit-learn. The network reads an image row by row. With
`class_weight="balanced"`, the rare class counts as much in the loss as the other one.
"""

from sklearn.datasets import load_digits
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

from bptt.estimators import SequenceClassifier

SEED, EPOCHS = 0, 40
digits = load_digits()
eight = digits.target == 8
X, X_test, y, y_test = train_test_split(digits.images, eight, stratify=eight, random_state=SEED)
model = SequenceClassifier(hidden_size=32, epochs=EPOCHS, class_weight="balanced", random_state=SEED)
model.fit(X, y)
f1 = f1_score(y_test, model.predict(X_test))
print(f"F1 {f1:.3f}")
