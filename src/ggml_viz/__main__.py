"""`python -m ggml_viz` is `ggml-viz`."""

import sys

from ggml_viz.cli import main

sys.exit(main())
