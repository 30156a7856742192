"""A second verifier, slow and plain, written from the formats' page alone; it shares no module with the first."""
