"""Read CSV files of other programs: format, columns, time."""
