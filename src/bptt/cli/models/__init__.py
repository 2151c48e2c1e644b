"""What the command trains: networks for texts, series and sequences, and how they are judged."""
