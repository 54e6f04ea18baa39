"""What every test relies on."""

import signal

# A shell starts what it runs in the background with SIGINT ignored, and programs pass that on to those they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
