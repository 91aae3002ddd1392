"""The local launcher, supervised processes, ports and control calls to servers."""
