"""What draws the gradient and a training run. Needs matplotlib, and loads it where something is drawn."""
