"""`python -m codeformer_core` is the command `codeformer`."""

import sys

from .command_line.cli import main

sys.exit(main())
