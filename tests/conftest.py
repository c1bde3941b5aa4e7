"""What holds for all tests."""

import os

# Selenium brings trio, whose plugin for hypothesis warns where a served model has frozen the
# garbage collector's objects before hypothesis was loaded; a warning is an error here.
os.environ["HYPOTHESIS_NO_PLUGINS"] = "1"
