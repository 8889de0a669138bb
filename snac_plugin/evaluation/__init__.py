"""How good a model, its codec or a folder of generated audio is: measures, their intervals, and the report of them."""
