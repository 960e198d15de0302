"""The tests, by the part of the product they are about."""

import os
import sys

# Compiled modules are kept, whatever the shell says: the tests start hundreds of processes of the
# product, and each would spend seconds compiling the same files.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
