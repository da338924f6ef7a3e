"""Build the wheel, install it alone into a fresh environment, and encode and decode with it.

    python scripts/try_wheel.py          (or: make wheel)

The environment has what the wheel asks for (numpy, onnxruntime, click) and no extra. The codes are
compared with those that torch gives here, on the embedded sample.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "conf", "src")
NO_EXTRA = "Error: semantic-ids run: 'kedro' is not installed; expected the extra 'pipeline'; "
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def build(folder: Path) -> Path:
    """Build the wheel from a copy: what an earlier build left behind would come into it."""
    copy = folder / "sources"
    for name in SOURCES:
        if (ROOT / name).is_dir():
            skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, copy / name, ignore=skipped)
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    subprocess.run([*command, str(copy)], check=True, env=ENVIRONMENT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(folder: Path) -> None:
    """Build the wheel and install it into a new environment, `folder / "fresh"`."""
    wheel = build(folder)
    venv.create(folder / "fresh", with_pip=True)
    command = [folder / "fresh/bin/python", "-m", "pip", "install", "--quiet", wheel]
    lock = ["--disable-pip-version-check", "-c", ROOT / "requirements.lock"]
    subprocess.run([*command, *lock], check=True, env=ENVIRONMENT)


def fit(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Fit and save a small tokenizer of the sample; return its codes and decoded vectors."""
    from semantic_ids import RQKMeans, read_items

    x = read_items(ROOT / "data/01_raw/item_emb.parquet").vectors
    few = {"iterations": 2, "anneal_rounds": 2, "refine_rounds": 1, "unique_rounds": 0}
    tokenizer = RQKMeans((64, 64, 64), device="cpu", preprocess={"normalize": True}, **few).fit(x)
    tokenizer.save(folder / "tokenizer", onnx=True)
    np.save(folder / "x.npy", x)
    codes = tokenizer.encode(x)
    return codes, tokenizer.decode(codes)


def call(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """Call `semantic-ids` of the fresh environment."""
    program = folder / "fresh/bin/semantic-ids"
    return subprocess.run(
        [program, *words], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


def require(holds: bool, what: str) -> None:
    """End with exit code 1 unless this holds."""
    if not holds:
        sys.exit(f"The wheel fails: {what}")


def compare(folder: Path, codes: np.ndarray, decoded: np.ndarray) -> None:
    """Encode, decode and ask by the wheel, and compare with torch."""
    for words in (["encode", "-i", "x.npy"], ["decode", "-i", "x_codes.npy"]):
        ran = call(folder, *words, "-c", "tokenizer")
        require(ran.returncode == 0, ran.stderr)
    found = np.load(folder / "x_codes.npy")
    differ = int((found != codes).any(1).sum())
    require(differ == 0, f"{differ} of {len(codes)} rows have other codes than torch gives")
    off = float(np.abs(np.load(folder / "x_codes_vectors.npy") - decoded).max())
    require(off <= 1e-6, f"decoded vectors are off by {off}")
    said = json.loads(call(folder, "info", "tokenizer").stdout)
    require(said["codebook_sizes"] == [64, 64, 64], f"info says {said}")
    ran = call(folder, "run", "--env=test")
    require(ran.returncode == 1 and ran.stderr.startswith(NO_EXTRA), ran.stderr)
    print(f"{len(codes):,} rows: the codes of torch; decoded within {off:.1g}")


def measure(folder: Path, wheel: Path) -> None:
    """Print the size of the environment, what is in it, and how long the import takes."""
    packages = next((folder / "fresh").glob("lib/python3*/site-packages"))
    require((packages / "semantic_ids/conf/base/catalog.yml").is_file(), "it carries no conf/base")
    files = [file for file in (folder / "fresh").rglob("*") if not file.is_symlink()]
    size = sum(file.stat().st_size for file in files if file.is_file())
    names = sorted(path.name.partition("-")[0] for path in packages.glob("*.dist-info"))
    print(f"wheel {wheel.stat().st_size / 1e6:.1f} MB; environment {size / 1e6:.0f} MB with")
    print(f"  {', '.join(names)}")
    code = "import time; t = time.perf_counter(); import semantic_ids; print(time.perf_counter()-t)"
    seconds = subprocess.check_output(
        [folder / "fresh/bin/python", "-c", code], env=ENVIRONMENT, text=True
    )
    print(f"import semantic_ids: {float(seconds):.3f} s")


def main() -> None:
    """Build and install, fit at the same time, then compare and measure."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        installing = subprocess.Popen([sys.executable, __file__, name])
        codes, decoded = fit(folder)
        require(installing.wait() == 0, "it cannot be installed")
        compare(folder, codes, decoded)
        measure(folder, next(folder.glob("*.whl")))
    print(f"done in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    if sys.argv[1:]:
        install(Path(sys.argv[1]))
    else:
        main()
