"""Whether a change left every result as it was: codes, losses of a resumed run, weights and wavs, before against after.

python benchmarks/same_results.py --base HEAD~1
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from two_commits import ROOT, Run, checkout, commit_of, demo_data, runner

CONFIGS = "model_configs"
CALLED = """
import sys
from pathlib import Path
import snac_plugin
from stable_audio_tools.inference.generation import generate_diffusion_cond
model = snac_plugin.load_model("snac_dit_tiny")
audio = generate_diffusion_cond(model, steps=30, cfg_scale=1.3, conditioning=[{}], batch_size=1, sample_size=196608, seed=5,
                                device="cpu", sampler_type="euler")
Path(sys.argv[1]).write_bytes(audio.float().numpy().tobytes())
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table of results and whether they are equal; 1 if one is not."""
    parser = argparse.ArgumentParser("same_results", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, metavar="REV", help="commit to compare the working tree with")
    parser.add_argument("--steps", type=int, default=4, metavar="N", help="training steps before and after resuming (%(default)s)")
    parser.add_argument("--cache", metavar="FILE", help="JSON file that keeps the base's results for later runs")
    args = parser.parse_args(argv)
    before = _of_base(args)
    with tempfile.TemporaryDirectory() as folder:
        after = results(ROOT, Path(folder), args.steps)
    print("| result | equal |\n|---|---|")
    for name in sorted({*before, *after}):
        print(f"| {name} | {'yes' if before.get(name) == after.get(name) else 'NO'} |")
    return int(before != after)


def _of_base(args: argparse.Namespace) -> dict[str, str]:
    """Digests of the base commit's results, from the cache if they are there."""
    commit, kept = commit_of(args.base), {}
    key = f"{commit} {args.steps}"
    if args.cache and Path(args.cache).exists():
        kept = json.loads(Path(args.cache).read_text())
    if key not in kept:
        with tempfile.TemporaryDirectory() as folder:
            tree = checkout(commit, Path(folder, "tree"))
            kept[key] = results(tree, Path(folder, "results"), args.steps)
        if args.cache:
            Path(args.cache).write_text(json.dumps(kept, indent=2))
    return kept[key]


def results(tree: Path, out: Path, steps: int) -> dict[str, str]:
    """Run the commands of a checkout as a user does and digest what they leave: {result: digest}."""
    out.mkdir(parents=True, exist_ok=True)
    run = runner(tree)
    audio, codes = demo_data(run, out, songs=2, seconds=20)
    found = {f"codes of {path.stem}": digest(path.read_bytes()) for path in sorted((out / "codes").rglob("*.npy"))}
    for config, data in (("snac_dit", codes), ("snac_codec_tiny", audio)):
        found |= _trained(run, config, data, out / config, steps)
    return found | _generated(run, min((out / "songs").glob("*.flac")), out / "generated")


def _trained(run: Run, config: str, data: Path, folder: Path, steps: int) -> dict[str, str]:
    """Losses and weights of a run that stops and goes on."""
    flags = ["--dataset-config", data, "--batch-size", 2, "--precision", "32-true", "--save-dir", folder, "--seed", 3]
    for most in (steps, 2 * steps):
        run("train.py", "--model-config", f"{CONFIGS}/{config}.json", *flags, "--max-steps", most, "--recover")
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    losses = [(tag, e.step, e.value) for tag in events.Tags()["scalars"] if "loss" in tag for e in events.Scalars(tag)]
    state = torch.load(folder / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=False)["state_dict"]
    weights = b"".join(name.encode() + state[name].contiguous().view(-1).numpy().tobytes() for name in sorted(state))
    return {f"losses of {config}, resumed": digest(repr(sorted(losses)).encode()), f"weights of {config}": digest(weights)}


def _generated(run: Run, song: Path, folder: Path) -> dict[str, str]:
    """Wavs of the shipped model, as generated: earlier commits fit neither level nor width to the recording."""
    known = run("generate.py", "--help")
    unmatched = [word for flag, value in (("--match", "off"), ("--width", "mono")) if flag in known for word in (flag, value)]
    ways = {
        "from nothing": ["--seconds", 8, "--steps", 16],
        "batch of two": ["--batch-size", 2, "--steps", 12, "--temperature", 0.9],
        "by euler": ["--steps", 12, "--sampler", "euler", "--cfg-scale", 1.0],
        "by dpmpp, by level": ["--steps", "A=3,B=3,C=3,D=4", "--sampler", "dpmpp", "--cfg-scale", 2.0, "--cfg-rescale", 0.3],
        "continued": ["--continue", song, "--seconds", 9, "--steps", 16, *unmatched],
    }
    found = {}
    for name, flags in ways.items():
        where = folder / name.replace(" ", "_")
        run("generate.py", "--seed", 1, "--device", "cpu", "--out", where, *flags)
        found |= {f"wav {name}, {path.stem}": digest(path.read_bytes()) for path in sorted(where.glob("*.wav"))}
    run("-c", CALLED, folder / "called")
    return found | {"audio of generate_diffusion_cond": digest((folder / "called").read_bytes())}


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
