"""``python -m lowapprox`` is the command ``lowapprox``."""

import sys

from lowapprox.cli import main

if __name__ == "__main__":
    sys.exit(main())
