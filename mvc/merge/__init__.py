"""Versions into one: three ways by tensor, and strategies where both sides changed a tensor."""
