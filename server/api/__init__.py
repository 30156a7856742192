"""HTTP in and out: no rules live here."""
