"""What makes files of this repository from others. No distribution carries it."""
