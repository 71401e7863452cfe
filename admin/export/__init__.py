"""prepaid export: the cards of a batch for the print shop."""
