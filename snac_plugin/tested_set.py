"""The one set of packages that this release was tested with; setup.py installs it and `doctor` compares with it.

Standard library only and importable by path: setup.py reads this file before anything is installed.
Exact where another release is known to break something, a range where none is.
"""

PYTHON = ">=3.10,<3.12"
STABLE_AUDIO_TOOLS = "0.0.19"

REQUIRED = {
    "stable-audio-tools": f"=={STABLE_AUDIO_TOOLS}",  # no registry of types, so its factories are wrapped: other releases differ
    "snac": "==1.2.1",
    "torch": "==2.8.0",  # 2.9 and later bring a torchaudio that reads and writes through FFmpeg only
    "torchaudio": "==2.8.0",
    "x-transformers": "==2.31.10",
    "einops": "==0.8.2",
    "pytorch-lightning": "==2.1.0",  # as stable-audio-tools pins it
    "k-diffusion": "==0.1.1",  # as stable-audio-tools pins it
    "gradio": ">=5.20,<6",  # 6 silently drops the theme and scripts of stable-audio-tools' page
    "numpy": "==1.23.5",  # as laion-clap, a requirement of stable-audio-tools, pins it
    "pydantic": ">=2.12,<3",
    "setuptools": ">=64,<80.9",  # clip-anytorch and wandb import pkg_resources, which 82 dropped and 80.9 warns about
    "soundfile": ">=0.12.1,<1",
    "torchmetrics": ">=0.11.4,<2",
    "scipy": ">=1.10,<2",
    "soxr": ">=0.3.2,<2",
    "tensorboard": ">=2.14,<3",
    "safetensors": ">=0.4.3,<1",
    "huggingface-hub": ">=0.26,<2",
    "peft": ">=0.18,<1",  # LoRA; what it needs is here for stable-audio-tools' sake
    "psutil": ">=5.9,<8",
    "matplotlib": ">=3.8,<4",
    "tqdm": ">=4.66,<5",
}

EXTRAS = {
    "demo": {
        "pretty_midi": "==0.2.11.post0",  # carries the General MIDI sound font
    },
    "browser": {"playwright": ">=1.49,<2"},  # drives Debian's chromium in `make browser-test`
    "evaluate": {"librosa": "==0.11.0", "scikit-learn": ">=1.3,<2"},
    "cluster": {"distributed": ">=2025.12,<2027"},  # Dask without dask[array], which would ask for another numpy
    "dev": {
        "pytest": "==9.2.0",
        "pytest-timeout": "==2.4.0",
        "pytest-xdist": "==3.8.0",
        "ruff": "==0.17.5",
        "mypy": "==2.4.1",
        "librosa": "==0.11.0",
        "scikit-learn": ">=1.3,<2",
        "distributed": "==2025.12.0",
        "wheel": ">=0.40",
    },
}
