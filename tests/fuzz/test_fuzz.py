"""A short `make fuzz`: damaged configs, audio files and checkpoints end well or in a sentence."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mutations import mutated, mutated_bytes

SCRIPT = Path(__file__).with_name("fuzz.py")
COUNTS = {"configs": 12, "datasets": 4, "files": 16, "checkpoints": 8}


@pytest.mark.slow
def test_nothing_damaged_ends_in_a_traceback_a_hang_or_in_silence() -> None:
    flags = [word for name, count in COUNTS.items() for word in (f"--{name}", str(count))]
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), *flags, "--limit", "60"], capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr[-2000:]
    rows = re.findall(r"^\| [a-z ]+ \| (\d+) \| (\d+) \| (\d+) \| 0 \| 0 \| 0 \|$", ran.stdout, re.MULTILINE)
    assert [int(tried) for tried, _, _ in rows] == list(COUNTS.values())
    assert sum(int(fine) for _, fine, _ in rows) > 5, "not all changes are fatal, or what lies behind the checks is never reached"


@pytest.mark.slow
def test_a_fault_of_each_kind_would_be_counted(tmp_path: Path) -> None:
    """A case that raises, one that hangs in C, one that dies, one that says it was silent."""
    script = tmp_path / "faults.py"
    script.write_text(
        f"import sys, time, os\nsys.path.insert(0, {str(SCRIPT.parent)!r})\nimport fuzz\nfrom pathlib import Path\n"
        "class Faults:\n    folder = Path(sys.argv[1])\n    note = 'x'\n"
        "    def model_config(self, random): raise KeyError('a')\n"
        "    def dataset_config(self, random): time.sleep(60)\n"
        "    def audio_file(self, random): os.abort()\n"
        "    def checkpoint(self, random): raise fuzz.Silent('b')\n"
        "cases = [(kind, 0) for kind in fuzz.KINDS]\n"
        "print([how for _, _, how, _ in fuzz.run_cases(Faults(), cases, 3.0, time.time() + 60)])\n"
    )
    ran = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=120, check=False)
    assert ran.stdout.splitlines()[-1] == "['raw', 'hang', 'killed', 'silent']", ran.stderr[-2000:]


def test_changes_are_many_and_repeat_with_their_seed() -> None:
    config = {"a": {"b": [1, 2.0, "word"], "c": True}, "d": None}
    changed = [repr(mutated(config, np.random.default_rng(seed))[0]) for seed in range(200)]
    assert len(set(changed)) > 60
    assert changed == [repr(mutated(config, np.random.default_rng(seed))[0]) for seed in range(200)]
    assert repr(config) == "{'a': {'b': [1, 2.0, 'word'], 'c': True}, 'd': None}"
    content = bytes(range(256)) * 8
    assert len({mutated_bytes(content, np.random.default_rng(seed)) for seed in range(100)}) > 90
