"""What leaves the house for an auditor: bundles of one tenant's receipts and hits, and the proof file of a single one."""
