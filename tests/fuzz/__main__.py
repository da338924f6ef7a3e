"""python -m tests.fuzz [--seconds 3600] [--rounds N] [--seed 0]: try, count, show what is wrong.

A round is one case of each group. Exit code 1 where the program was to blame for something.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.fuzz.runs import Outcome, outcomes


def table(found: list[Outcome]) -> str:
    """Count outcomes by what was tried, in Markdown."""
    results = sorted({outcome.result for outcome in found}, key=lambda r: (r != "read", r))
    count = Counter((outcome.kind, outcome.result) for outcome in found)
    tried = Counter(outcome.kind for outcome in found)
    lines = [["what was tried", "times", *results], ["---"] * (2 + len(results))]
    lines += [
        [kind, str(tried[kind]), *(str(count[kind, result]) for result in results)]
        for kind in sorted(tried)
    ]
    lines.append(["all", str(len(found)), *(str(sum(count[k, r] for k in tried)) for r in results)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Run, print and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = []
    for outcome in outcomes(given.seed, given.seconds, given.rounds):
        found.append(outcome)
        if outcome.is_defect:
            print(f"--- {outcome.result}: {outcome.kind} (seed {outcome.seed})")
            print(" ".join(outcome.words))
            print(outcome.text[-3000:], flush=True)
    print(table(found))
    return int(any(outcome.is_defect for outcome in found))


if __name__ == "__main__":
    sys.exit(main())
