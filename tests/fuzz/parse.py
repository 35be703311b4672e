"""Fuzz the way of an object: parse, intake, de-identify, write.

`python -m tests.fuzz.parse --runs 200000 --seconds 1800 --corpus FOLDER`

With atheris (extra `fuzz`) the inputs are led by what code they reach, and the corpus folder keeps
them, so that the next run goes on where this one ended. `--engine seeded` needs nothing installed
and makes the same inputs from the same `--seed`. FOLDER has the inputs, an account of what came of
them and the defects, one for each place of failure.
"""

import argparse
import hashlib
import logging
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_TOLD_EVERY = 500


@dataclass
class Account:
    """What came of the runs so far."""

    folder: Path
    runs: int = 0
    began: float = field(default_factory=time.monotonic)
    outcomes: Counter[str] = field(default_factory=Counter)
    defects: dict[str, str] = field(default_factory=dict)

    def run(self, data: bytes) -> None:
        """Exercise one input; a defect is kept, and does not end the run."""
        from tests.fuzz.target import exercise

        self.runs += 1
        try:
            self.outcomes.update(exercise(data))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            self._keep(data, error)
        if self.runs % _TOLD_EVERY == 0:
            self.write()

    def write(self) -> None:
        """Leave the account in the folder; libFuzzer ends the process without a word to Python."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "account.txt").write_text(self.told() + "\n")

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    def told(self) -> str:
        """Return the account in lines."""
        lines = [f"{self.runs} runs in {self.seconds:.0f} s, {len(self.defects)} defects"]
        lines += [f"{count:8d} {outcome}" for outcome, count in self.outcomes.most_common()]
        lines += [f"defect {name}: {what}" for name, what in self.defects.items()]
        return "\n".join(lines)

    def _keep(self, data: bytes, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        place = " < ".join(f"{Path(one.filename).name}:{one.lineno}" for one in reversed(frames))
        what = f"{type(error).__name__} at {place}"
        name = hashlib.sha256(what.encode()).hexdigest()[:12]
        if name in self.defects:
            return
        self.defects[name] = what
        defects = self.folder / "defects"
        defects.mkdir(parents=True, exist_ok=True)
        (defects / name).write_bytes(data)
        (defects / f"{name}.txt").write_text(
            what + "\n" + "".join(traceback.format_exception(error))
        )


def seeded(account: Account, *, runs: int, seconds: float, seed: int) -> None:
    """Run mutations of the seeds, the same ones for the same number."""
    from tests.fuzz.mutation import mutated
    from tests.fuzz.seeds import seeds

    random_ = random.Random(seed)
    originals = [content for _, content in sorted(seeds())]
    while account.runs < runs and account.seconds < seconds:
        account.run(mutated(random_.choice(originals), originals, random_))


def guided(account: Account, *, runs: int, seconds: float) -> None:
    """Run what atheris makes of the inputs so far; it ends the process."""
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    with atheris.instrument_imports(include=["core", "anonymizer", "service", "pydicom"]):
        import tests.fuzz.target
    from tests.fuzz.seeds import LONGEST, seeds

    inputs = account.folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    for _, content in seeds():
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        (inputs / digest).write_bytes(content)
    assert tests.fuzz.target.WAYS
    options = [f"-runs={runs}", f"-max_total_time={seconds:.0f}", f"-max_len={LONGEST}"]
    atheris.Setup([sys.argv[0], *options, "-timeout=60", str(inputs)], account.run)
    atheris.Fuzz()


def main() -> int:
    """Run and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--corpus", type=Path, default=Path("fuzz-corpus"))
    parser.add_argument("--engine", choices=["atheris", "seeded"], default="atheris")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    account = Account(chosen.corpus)
    if chosen.engine == "atheris":
        guided(account, runs=chosen.runs, seconds=chosen.seconds)
    seeded(account, runs=chosen.runs, seconds=chosen.seconds, seed=chosen.seed)
    account.write()
    sys.stdout.write(account.told() + "\n")
    return 1 if account.defects else 0


if __name__ == "__main__":
    sys.exit(main())
