"""Pictures of the gradient and of training runs. Needs matplotlib, and loads it only for drawing."""
