"""Write `requirements.lock`: one pinned version for every package of every extra, as a pip
constraints file.

    python scripts/lock.py          (or: make lock)

pip resolves torch's exact pin together with all extras, without installing anything. What comes out
holds names and versions
alone: no local version such as `+cpu`, no file names, so that it serves every machine and either
    build of torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TORCH = "torch==2.13.0"
EXTRAS = "all,dev,jupyter,bench"
"""Those that hold all others, but for `gpu`: faiss-gpu gives the same module as faiss-cpu."""
HEADER = f"""\
# The whole environment, pinned: a constraints file for
# `pip install -c requirements.lock -e ".[pipeline]"` on Python 3.11 to 3.13.
# Made by `make lock` ({EXTRAS}, resolved together).
# torch comes first, on its own: `pip install "{TORCH}"`.
"""


def resolve(requirements: list[str]) -> list[dict]:
    """Return pip's metadata of every package that the requirements need in an empty environment."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--ignore-installed",
            "-qq",
            "--report",
            report.name,
        ]
        subprocess.run([*command, *requirements], check=True, cwd=ROOT)
        return [
            package["metadata"] for package in json.loads(Path(report.name).read_text())["install"]
        ]


def pins(packages: list[dict]) -> list[str]:
    """Return `name==version` lines in alphabetical order, the project itself left out."""
    names = {p["name"].lower().replace("_", "-"): p["version"].split("+")[0] for p in packages}
    return [
        f"{name}=={version}" for name, version in sorted(names.items()) if name != "semantic-ids"
    ]


def main() -> None:
    """Resolve and write."""
    lines = pins(resolve([TORCH, f".[{EXTRAS}]"]))
    (ROOT / "requirements.lock").write_text(HEADER + "\n".join(lines) + "\n")
    print(f"requirements.lock: {len(lines)} packages")


if __name__ == "__main__":
    main()
