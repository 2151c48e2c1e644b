"""Models as C: one header file without dependencies, for microcontrollers, plug-ins and other programs."""

from bptt.c_export.export import export_c

__all__ = ["export_c"]
