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
_ONWARD: Final = """
able absolute according actual additional adds administrative affects agricultural allow allowing allows among amongst an and
any artificial as assign assigned associated atmospheric atomic attach attempting augmented automate autonomous avoiding
because becoming believes bringing but calculate can cardiovascular carrying causing cellular certain characterized chronic
coastal combines combining comparing completing composed conducting connecting conserve consist consisting consists
contributes converting convolutional corresponding could countless creating customize cyber dealing decided defining
delivering depend depending designated despite detecting determine determining dietary digestive discovers discusses dividing
domestic during eager earn eastern educate eliminating emphasizes emphasizing enable enables enabling encourage encourages
enhance ensure ensures ensuring entire environmentally especially establishing every examine examines except existing explores
expressing extremely facial facilitate featuring focuses focusing fossil foster fundamental gaining gather generating genetic
getting give gives giving global graphical gravitational greenhouse grocery has helping highlight highly his historic how if
illustrate implementing implies incorporate incorporating increasingly incredibly indicate indicates influenced inner
installing integrate interacting into introduce introducing involve involves involving its keep keeps lack largely latest
leading learns let letting leveraging likely limiting linked looking lunar main maintaining malicious managing maximize
mechanical medical metropolitan minimize molecular monetary mostly multiple must mutual necessarily neural newfound nor
northern nutritional onto opt optimize optimizing or our outer outlines particularly paying personalize placing plenty portion
possibly potentially pour predictive preparing preserving presidential pressing prevent preventing prevents primary promote
promotes promoting promotional protect protecting protects providing pushing puts quantum quite reaching recent recognizing
reduce reducing refer referred refers refine reflects regarded regarding relatively relies rely relying remind renowned
require requiring respective respiratory resulted resulting revolutionize robotic select serves should societal southern
sprinkle starting statistical stimulate strengthen strive submit such suggest suggesting supervised surrounded switching
tailor tailored teaches technological tend tends thank thanked the their thereby these to toward transforming truly
unauthorized unless unlike upcoming upper urban utilize utilizes utilizing various varying very via virtual vitamin volcanic
weigh western when whenever where whether which who whose will willing without wooden would your
"""
ENGLISH: Final = frozenset(_ENGLISH.split())
"""Words of grammar that no text of another language has many of."""
USUAL: Final = frozenset(_USUAL.split())
"""Words of prompts and answers, those of grammar among them, that are written so in English alone, or nearly so."""
FOREIGN: Final = frozenset(_FOREIGN.split())
"""Words of grammar of other languages in Latin letters: a text with one of them is told by its program."""

ONWARD: Final = frozenset(_ONWARD.split())
"""Words behind which a sentence goes on: of 60 or more occurrences in responses of open pools at most 0.6 % end a sentence or a clause, of all words 9 %."""

__all__ = ["ENGLISH", "FOREIGN", "ONWARD", "USUAL"]
