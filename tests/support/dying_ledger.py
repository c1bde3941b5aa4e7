"""A process that dies while it writes its ledger."""


class DyingLedger:
    """A ledger whose process may die before and after each note."""

    def __init__(self, ledger, chaos):
        self._ledger = ledger
        self._chaos = chaos

    def __getattr__(self, name):
        method = getattr(self._ledger, name)

        def dying(*args, **kwargs):
            self._chaos.step()
            result = method(*args, **kwargs)
            self._chaos.step()
            return result

        return dying
