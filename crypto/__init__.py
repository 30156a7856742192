"""What an auditor runs: canonical bytes, model manifests and the arithmetic of similarity, with no heavy dependency."""
