"""python evaluate.py --ckpt-path runs/snac_dit/checkpoints/FILE.ckpt --data FOLDER --out evaluation"""

import sys

from snac_plugin.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
