"""From sessions to the lines of a training file, step by step: select, check, split, count."""
