"""Times this package beside every installed peer; `--help` says how, `bptt.bench` how it is done."""

from bptt.cli.compare import main

if __name__ == "__main__":
    raise SystemExit(main())
