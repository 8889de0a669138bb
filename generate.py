"""python generate.py --ckpt runs/snac_dit/checkpoints/FILE.ckpt --out output"""

import sys

from snac_plugin.cli import main

if __name__ == "__main__":
    sys.exit(main(["generate", *sys.argv[1:]]))
