"""Looking at a training run and at the gradient inside it."""
