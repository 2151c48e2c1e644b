"""Draw README's picture: the gradient through time of an RNN and an LSTM, after both were trained.

python docs/gradient_through_time.py

The networks are those of page 7 of the tutorial.
"""

from __future__ import annotations

import os
import runpy
from io import BytesIO
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
PAGE = DOCS / "tutorial" / "plot_7_what_does_vanishing_cost.py"
PICTURE = DOCS / "images" / "gradient-through-time.png"
INCHES = 6.0
POINTS = 14
"""Size of the letters. On a phone the picture is 360 pixels wide, and the letters are 11.7 pixels high."""


def draw(flows: dict[str, Any], path: Path) -> None:
    """Draw the flow of each network, and write the picture as a PNG file."""
    import matplotlib.pyplot as plt
    from PIL import Image

    with plt.rc_context({"font.size": POINTS, "figure.dpi": 100}):
        figure, axes = plt.subplots(figsize=(INCHES, 3.8), layout="constrained")
        for name, colour in (("RNN", "#D55E00"), ("LSTM", "#0072B2")):
            error = flows[name][-1].dh_norm[0, ::-1]
            axes.semilogy(error / error[0], color=colour, linewidth=2.5)
            axes.text(50, error[-1] / error[0], name, color=colour, va="center", weight="bold")
        axes.set(xlim=(0, 58), xlabel="steps back in time", ylabel="gradient (last step = 1)")
        axes.set_title("The gradient through time, after training", fontsize=POINTS)
        # Plain labels: the exponents of 10 would be too small on a phone.
        axes.set_yticks([1, 1e-2, 1e-4, 1e-6, 1e-8], ["1", "0.01", "1e-4", "1e-6", "1e-8"])
        axes.spines[["top", "right"]].set_visible(False)
        buffer = BytesIO()
        figure.savefig(buffer, dpi=150)
        plt.close(figure)
    Image.open(buffer).convert("RGB").quantize(32).save(path, optimize=True)  # a quarter of the size


if __name__ == "__main__":
    os.environ["MPLBACKEND"] = "agg"
    draw(runpy.run_path(str(PAGE))["flows"], PICTURE)
    print(f"picture  {PICTURE.relative_to(Path.cwd()) if PICTURE.is_relative_to(Path.cwd()) else PICTURE}")
