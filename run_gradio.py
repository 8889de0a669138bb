"""python run_gradio.py --ckpt-path runs/snac_dit/checkpoints/FILE.ckpt"""

import sys

from snac_plugin.cli import main

if __name__ == "__main__":
    sys.exit(main(["run_gradio", *sys.argv[1:]]))
