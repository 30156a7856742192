"""What may be shared, with whom, and at what privacy cost."""
