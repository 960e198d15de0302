"""What runs jobs: how slices declare them, the worker, and its clock. It knows no slice."""
