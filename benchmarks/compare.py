"""Compare the speed of bptt with installed libraries. See `--help`; the code is in `bptt.bench`."""

from bptt.cli.compare import main

if __name__ == "__main__":
    raise SystemExit(main())
