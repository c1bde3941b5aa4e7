"""Tests with real servers of other stores, which `scripts/test --stores` installs and runs."""

import os

collect_ignore_glob = [] if "STORE_SERVERS" in os.environ else ["test_*.py"]
