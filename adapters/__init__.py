"""The hand-off to trainers and graders, imported as instructsel.adapters."""
