"""The conformance kit, for both kinds."""

from tokenbench_testing import AmendmentKit, ObserverKit


class TestAmendment(AmendmentKit):
    name = "tinybatch"
    amends = ("llamacpp",)


class TestObserver(ObserverKit):
    name = "tinybatch"
