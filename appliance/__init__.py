"""The Hub Appliance: a multi-user Jupyter classroom on one machine."""

__version__ = "0.1.0"
