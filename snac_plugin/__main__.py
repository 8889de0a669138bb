"""`python -m snac_plugin COMMAND [ARGS]`, or `python -m snac_plugin SCRIPT [ARGS]` for a script of stable-audio-tools."""

import sys

from snac_plugin.cli import main

if __name__ == "__main__":
    sys.exit(main())
