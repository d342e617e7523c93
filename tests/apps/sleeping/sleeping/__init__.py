"""An app that sleeps, where it is told to, until its run is stopped."""
