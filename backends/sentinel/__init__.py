"""Microsoft Sentinel: KQL over a Log Analytics workspace."""
