"""LangChain's standard tests of chat models: ChatOpenAI on this engine, with the base nano."""

from tests.local.standard_suite import MARKS, NanoIntegrationTests, http, server

pytestmark = MARKS

__all__ = ["http", "server"]


class TestNano(NanoIntegrationTests):
    @property
    def supports_model_override(self):
        return True

    @property
    def model_override_value(self):
        return "another"
