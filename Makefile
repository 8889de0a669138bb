# make demo    render music, fine-tune the shipped model on it and generate a wav: runs/demo
# make quick   lint, types and the tests that run no command, no training and no server
# make test    lint, types and all tests
# make fuzz    damaged configs, audio files and checkpoints, most of an hour: each ends well or in a sentence
# make browser-test   what a user does on the page, in a real chromium; pictures of it: runs/browser
# make tiny    train snac_dit_tiny, the model that ships, as it was trained: runs/snac_dit_tiny
# make codec   train snac_tiny_32khz, the codec that ships, as it is trained: runs/snac_codec_tiny; again, it goes on where it stopped
# make clean   remove the environment and everything that was built
#
# All create .venv and install into it first; nothing is installed again until setup.py or the tested set changes.
# Another interpreter: make PYTHON=/path/to/python3.10 demo

FITS := import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 12))
PYTHON ?= $(shell for name in python3.11 python3.10 python3; do \
	"$$name" -c '$(FITS)' 2>/dev/null && { command -v "$$name"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BROWSER := command -v chromium || command -v chromium-browser || command -v google-chrome
PATIENT := -o Acquire::Retries=3 -o Acquire::http::Timeout=30

# Threads that wait must not spin: two processes on the same cores would crawl.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo quick test fuzz browser-test tiny codec clean
.DELETE_ON_ERROR:

demo: $(STAMP)
	$(BIN)/python -m snac_plugin demo

tiny: $(STAMP)
	$(BIN)/python pre_encode.py --model-config model_configs/snac_dit_tiny.json --songs 1000 --song-seconds 40 \
		--styles pop rock house techno chiptune funk hip-hop synthwave --processes 2 --output-path demo_music/eight_styles_codes
	$(BIN)/python train.py --model-config model_configs/snac_dit_tiny.json \
		--dataset-config demo_music/eight_styles_codes/dataset_config.json --batch-size 2 --max-steps 6139 --seed 42 \
		--save-dir runs/snac_dit_tiny --recover
	$(BIN)/python pre_encode.py --model-config model_configs/snac_dit_tiny.json --songs 240 --song-seconds 40 \
		--styles house techno --tempo 125 --key "A minor" --processes 2 --output-path demo_music/dance_codes
	$(BIN)/python train.py --model-config model_configs/snac_dit_tiny_dance.json \
		--dataset-config demo_music/dance_codes/dataset_config.json --batch-size 2 --max-steps 2500 --seed 43 \
		--pretrained-ckpt-path runs/snac_dit_tiny/checkpoints/last.ckpt --save-dir runs/snac_dit_tiny_dance --recover
	$(BIN)/python -m snac_plugin unwrap --ckpt-path runs/snac_dit_tiny_dance/checkpoints/last.ckpt --name runs/snac_dit_tiny/model \
		--use-safetensors --half

codec: $(STAMP)
	$(BIN)/python -m snac_plugin songs demo_music/codec_plain --songs 240 --seconds 40
	$(BIN)/python -m snac_plugin songs demo_music/codec_varied --songs 480 --seconds 40 --seed 1 --varied
	$(BIN)/python train.py --model-config model_configs/snac_codec_tiny_more.json --dataset-config dataset_configs/codec_music.json \
		--batch-size 4 --max-steps 40000 --precision 32-true --seed 42 --save-dir runs/snac_codec_tiny --recover
	$(BIN)/python -m snac_plugin export_codec --ckpt-path runs/snac_codec_tiny/checkpoints/last.ckpt \
		--out runs/snac_codec_tiny/codec --half

quick: TESTS := -m "not slow"
# Types are checked while the tests run. Long test files begin first (tests/conftest.py).
quick test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(BIN)/mypy > $(VENV)/mypy.log 2>&1 & types=$$!; \
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTS); tests=$$?; \
	wait $$types; typed=$$?; cat $(VENV)/mypy.log; exit $$((tests || typed))

fuzz: $(STAMP)
	$(BIN)/python tests/fuzz/fuzz.py --configs 2000 --datasets 500 --files 2000 --checkpoints 1000

browser-test: $(STAMP)
	@$(BROWSER) > /dev/null || { echo "Installing Debian's chromium."; \
		{ apt-get $(PATIENT) update && apt-get $(PATIENT) install -y --no-install-recommends chromium; } \
		> $(VENV)/chromium.log 2>&1 || tail -n 2 $(VENV)/chromium.log; }
	@$(BIN)/python -c 'import playwright' 2> /dev/null || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[browser]" || true
	@if ! $(BROWSER) > /dev/null; then \
		echo "The browser test was NOT run: chromium is not here and cannot be installed (apt install chromium)."; \
	elif ! $(BIN)/python -c 'import playwright' 2> /dev/null; then \
		echo "The browser test was NOT run: playwright is not here and cannot be installed (pip install playwright)."; \
	else $(BIN)/python -m pytest --override-ini addopts="-q --strict-markers" tests/browser; fi

$(STAMP): setup.py pyproject.toml snac_plugin/tested_set.py
	@test -n "$(PYTHON)" || { \
		echo "No Python 3.10 or 3.11 found ($$(python3 --version 2>&1)): stable-audio-tools 0.0.19 needs one of them."; \
		echo "Install it, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@"$(PYTHON)" -c '$(FITS)' || { \
		echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1): stable-audio-tools 0.0.19 needs Python 3.10 or 3.11."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); echo "Cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing into $(VENV): a few minutes, about 8 GB with CUDA."
	@free=$$(df -Pk . | awk 'NR == 2 {print int($$4 / 1048576)}'); test "$$free" -ge 12 || \
		echo "Only $$free GB are free here: with CUDA, 12 GB are needed while wheels are unpacked. Make room if it fails."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[demo,dev]"
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
