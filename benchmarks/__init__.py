"""Ratios, measured side by side on one machine."""
