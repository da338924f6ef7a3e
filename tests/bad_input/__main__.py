"""python -m tests.bad_input [--write]: print the tables, or write them into docs/bad-input.md."""

from __future__ import annotations

import argparse
import sys

from tests.bad_input.lines import PAGE, lines, replaced, tables


def main() -> int:
    """Make the lines and print or write them; exit code 1 where one is not one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    found = list(lines())
    made = tables(found)
    if parser.parse_args().write:
        PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")
    else:
        print(made)
    return int(not all(line.is_one_line for line in found))


if __name__ == "__main__":
    sys.exit(main())
