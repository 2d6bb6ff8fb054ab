"""What comes before a trained network; none is used here."""
