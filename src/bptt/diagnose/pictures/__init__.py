"""Pictures of the gradient and of training runs.

They need matplotlib, which is loaded only for drawing.
"""
