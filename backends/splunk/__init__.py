"""The Splunk target: Sigma as SPL, with the views as search macros and the register as lookups."""
