"""What runs jobs: how slices declare them, the worker, and the scheduler. It knows no slice."""
