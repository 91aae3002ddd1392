"""The conformance kit, with two chips in `readings.txt`, and on a host without chips."""

from pathlib import Path

from tokenbench_testing import HardwareKit


class TestTinyChip(HardwareKit):
    name = "tinychip"
    options = {"readings": str(Path(__file__).with_name("readings.txt"))}


class TestAbsent(HardwareKit):
    name = "tinychip"
    options = {"readings": "absent.txt"}
