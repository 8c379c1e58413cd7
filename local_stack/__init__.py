"""The embedded default: everything that stands for Google and for a cluster on one machine."""
