"""python -m tests.kills [--count 200] [--seed 0]: kill, look, run again, count by stage."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.kills.runs import Kill, kills


def table(found: list[Kill]) -> str:
    """Count kills by the stage that they fell into, in Markdown."""
    tried = Counter(kill.stage for kill in found)
    wrong = Counter(kill.stage for kill in found if kill.wrong)
    lines = [["killed in", "times", "wrong afterwards"], ["---"] * 3]
    lines += [[stage, str(tried[stage]), str(wrong[stage])] for stage in tried]
    lines.append(["all", str(len(found)), str(sum(wrong.values()))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Run, print and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = []
    for kill in kills(given.count, given.seed):
        found.append(kill)
        if kill.wrong:
            print(f"--- {kill.kind} killed in {kill.stage} after {kill.after:.2f} s")
            print("\n".join(kill.wrong), flush=True)
    print(table(found))
    return int(any(kill.wrong for kill in found))


if __name__ == "__main__":
    sys.exit(main())
