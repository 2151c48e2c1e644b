"""Models of the command: networks for texts, series and sequences, and their evaluation."""
