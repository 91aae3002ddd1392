"""The conformance kit, on two chips whose driver wrote `readings.txt`, and on a host with none."""

from pathlib import Path

from tokenbench.testing import HardwareKit


class TestTinyChip(HardwareKit):
    name = "tinychip"
    options = {"readings": str(Path(__file__).with_name("readings.txt"))}


class TestAbsent(HardwareKit):
    name = "tinychip"
    options = {"readings": "absent.txt"}
