"""Engines that judge as an embedded one does, each behind one context manager: for proofs, not for scanning."""
