"""Words by which an English text is told from any other, so that most prompts need no program for it."""

from __future__ import annotations

from typing import Final

_ENGLISH: Final = """
about also an and are as be been by can for from has have how into is it more not of or that the their there these they this to
was what when which who will with would you your
"""
_USUAL: Final = """
about activities add advantages after again against also always among an analyze and another answer any appropriate are around
arrange array article as assign author based be because been before being benefits best better between big book books both
business but buying by calculate can can't categorize change character characters child children choose city classify code combine
common company compare compose construct convert correct could countries country create creating creative current customer
customers day delete describe design determine develop development did different disadvantages discuss do does doesn't doing don't
down during each edit effective either energy english essay evaluate even evening every everyone example examples explain explore
false family father features find first five following food for four friend friends from function game games generate get getting
give given giving going good great green had has have having he headline health healthy help her here high his house how i'm
identify if important improve include including ingredients input insert into is isn't it it's items its just know knowledge large
last learning let's letter life light like list little living look low make making man many method money more morning most mother
movie much must my name need neither never new news next night not number numbers of off often old one only or order other our
ours out outline output over own paragraph parents people person phrase poem possible potential predict previous process program
prompt provide provided quality question reading rearrange recipe recommend reduce related remove replace research return reword
rewrite right same school search second security see select selling sentence sentences she shopping short should show skills sky
small some someone something songs specific states steps still story strategy string student students such suggest summarize
summary sun take taking tasks teacher technology tell ten text than that the their them then there these they things think third
this those three through time title to towards translate true two under up use used user users using usually vegetables was water
way ways we weather well were what when where which while who why will with within without woman women word words work working
world worse worst would write writing wrong year years you you're your yours
"""
_FOREIGN: Final = """
af alla ao att auf bir bu che como da dans das de della dem den der des det di die dos du een ein eine el en est et ett het ikke
il ist ja je jeg la las le les los mit na ne nicht nie och og os para per por pour que sa se si som sono un una und uno van ve ze
"""
ENGLISH: Final = frozenset(_ENGLISH.split())
"""Words of grammar that no text of another language has many of."""
USUAL: Final = frozenset(_USUAL.split())
"""Words of prompts and answers, those of grammar among them, that are written so in English alone, or nearly so."""
FOREIGN: Final = frozenset(_FOREIGN.split())
"""Words of grammar of other languages in Latin letters: a text with one of them is told by its program."""

__all__ = ["ENGLISH", "FOREIGN", "USUAL"]
