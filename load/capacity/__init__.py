"""Capacity planning: measured service times in; hit-ratio curve, cost, autoscaling simulation and advice out."""
