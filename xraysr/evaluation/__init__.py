"""How good a generator is: metrics, the comparison with interpolation, the report."""
