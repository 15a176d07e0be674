"""Commands, proofs and reports."""
