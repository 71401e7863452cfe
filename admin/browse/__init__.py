"""prepaid browse: the cards on a screen."""
