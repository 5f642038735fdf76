"""This machine and the libraries on it: what is checked before the work starts, and their faults in our words."""
