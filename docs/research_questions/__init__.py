"""The page docs/why/research_questions.md, part by part."""
