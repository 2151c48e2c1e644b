"""CSV files as other programs write them: the format, the columns, the time."""
