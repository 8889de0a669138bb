"""Large tensors reuse memory instead of having the kernel zero new pages for each."""

import subprocess
import sys
from pathlib import Path

import pytest
from tiny import write_tiny_codec

from snac_plugin.cli import memory
from snac_plugin.cli.pre_encode import codec_on

pytestmark = pytest.mark.slow

PROBE = """
import resource, sys
import torch
from snac_plugin.cli.memory import reuse_freed_memory

if sys.argv[1] == "yes":
    assert reuse_freed_memory()
torch.ones(10 * 2**20)  # 40 MiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(24):
    torch.ones(10 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(reuse: str) -> int:
    return int(subprocess.run([sys.executable, "-c", PROBE, reuse], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_large_tensors_hardly_cause_page_faults():
    assert 4 * page_faults("yes") < page_faults("no")


def test_every_process_that_encodes_reuses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`codec_on` is what processes of --processes and workers of --cluster run first."""
    called = []
    monkeypatch.setattr(memory, "reuse_freed_memory", lambda: called.append("reuse"))
    codec_on({"type": "snac_hierarchical", "config": {"codec": str(write_tiny_codec(tmp_path))}}, 32000, half=False, device="cpu")
    assert called == ["reuse"]
