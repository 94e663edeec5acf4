"""Honest comparisons for a selection. One file is one baseline; `registry` finds them by listing this folder.

The smallest one:

    class Shortest(Baseline):
        \"\"\"The shortest responses.\"\"\"

        name = "shortest"
        needs = ("len",)

        def ranking(self, candidates, context):
            return Ranking(self.name, "the length of the response", candidates.column("len")[0], unscored=candidates.unscored(self.needs))
"""
