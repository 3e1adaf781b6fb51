"""`python -m ktrdr.cli`."""

import sys

from ktrdr.cli.app import main

sys.exit(main())
