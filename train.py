"""python train.py --model-config model_configs/snac_dit.json"""

import sys

from snac_plugin.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
