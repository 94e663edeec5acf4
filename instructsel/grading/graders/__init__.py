"""Graders, one file each: whatever gives each of its items a value for a checkpoint.

The smallest grader is a frozen dataclass with a name, a fingerprint and a `grade`:

    @dataclass(frozen=True)
    class Verbosity:
        name: str = "verbosity"

        @property
        def fingerprint(self) -> dict[str, Any]:
            return {"kind": "verbosity"}

        def grade(self, checkpoint: Checkpoint) -> Grades:
            ...

`tests/grading/test_grader_contract.py` runs it by itself; it needs a row in docs/reference/graders.md.
"""
