"""What IDs are worth: networks that name the next item by its ID, the search, and the judge.

Needs numpy, torch and safetensors alone.
"""
