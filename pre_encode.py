"""python pre_encode.py --model-config model_configs/snac_dit.json --output-path encoded"""

import sys

from snac_plugin.cli import main

if __name__ == "__main__":
    sys.exit(main(["pre_encode", *sys.argv[1:]]))
