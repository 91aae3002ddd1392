"""tokenbench: what a token really costs.

The package itself imports nothing, so that ``import tokenbench`` stays instant; plugins use
``tokenbench.api``, everything else is the core's inside and may change without notice.
"""

__version__ = "0.1.0"
