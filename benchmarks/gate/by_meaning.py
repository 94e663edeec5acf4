"""The gate's checks by vectors with the real encoder: paraphrased contamination, and drift of vectors.

    python benchmarks/gate/by_meaning.py --data ../shared/data            about 4,000 texts to embed

Paraphrases: thirty questions that were written for this benchmark are an evaluation set, beside 805 prompts of AlpacaEval; each is planted
among rows of Self-Instruct in three strengths: its words in another order (near), in other words (far), and a question about the same
thing that asks something else (other), which is no contamination. Recall at several thresholds, and the rows without a plant that are
named, of which the ones that ask an item of AlpacaEval are no false alarms; what is named is printed to be read. n-gram contamination sees the same rows beside it.

Drift: a baseline of one half of rows; new rows of the other half, and of it with a share of another pool's.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]
import _record

from instructsel import Pool
from instructsel.gates.baseline.base import Request
from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.change import Change
from instructsel.gates.config import GateConfig
from instructsel.gates.gate import gate
from instructsel.stats.proportion import wilson

SEED: Final = 20261129
THRESHOLDS: Final = (0.95, 0.92, 0.9, 0.85, 0.8, 0.75)
ITEMS: Final = (
    (
        "A lighthouse keeper climbs 214 steps twice a day. How many steps does he climb in a week?",
        "In one week, how many steps does a keeper of a lighthouse climb who goes up its 214 steps two times each day?",
        "Twice daily a man goes up a tower of 214 stairs. What is the number of stairs he has gone up after seven days?",
        "How tall is a lighthouse whose keeper climbs 214 steps of 18 centimetres?",
    ),
    (
        "Why do bakers let dough rest before they put it into the oven?",
        "Before they put dough into the oven, why do bakers let it rest?",
        "What is the reason for leaving bread dough to stand for a while prior to baking?",
        "How hot must an oven be before a baker puts the dough in?",
    ),
    (
        "Write a short poem about a ferry that has been taken out of service.",
        "Write a poem, a short one, about a ferry that was taken out of service.",
        "Compose a few lines of verse on a boat that no longer carries passengers across the river.",
        "Write a timetable for a ferry that was put back into service.",
    ),
    (
        "Explain to a child why the moon looks different every night.",
        "Why does the moon look different every night? Explain it to a child.",
        "How would you tell a young kid the cause of the changing shape of the moon?",
        "Explain to a child why we see stars at night and not by day.",
    ),
    (
        "What are three advantages of storing grain in silos instead of barns?",
        "Name three advantages that storing grain in silos has over barns.",
        "List a trio of benefits of keeping cereals in a silo rather than in a shed.",
        "What are three dangers for people who work in grain silos?",
    ),
    (
        "Rewrite this sentence in the passive voice: The crew repaired the sail before dawn.",
        "In the passive voice, rewrite the sentence: The crew repaired the sail before dawn.",
        "Turn 'The crew repaired the sail before dawn' into a passive sentence.",
        "Rewrite this sentence in the future tense: The cook prepared the soup after noon.",
    ),
    (
        "Write a function that returns the second largest number of a list without sorting it.",
        "Without sorting a list, write a function that returns its second largest number.",
        "Implement code which finds the runner-up maximum in an array and does not use a sort.",
        "Write a function that sorts a list of numbers from the largest to the smallest.",
    ),
    (
        "Which of these is not a mammal: bat, dolphin, penguin, or otter?",
        "Bat, dolphin, penguin, otter: which of these is not a mammal?",
        "Pick the animal that does not belong to the mammals among otters, penguins, bats and dolphins.",
        "Which of these cannot fly: bat, sparrow, penguin, or owl?",
    ),
    (
        "A train leaves at 9:40 and arrives at 13:05. How long does the journey take?",
        "How long does a journey take whose train leaves at 9:40 and arrives at 13:05?",
        "If departure is at twenty to ten and arrival five past one, what is the travel time by rail?",
        "A train leaves at 9:40 and stops six times. Where does it stop first?",
    ),
    (
        "Suggest a polite way to tell a neighbour that his dog barks too much.",
        "How can I politely tell my neighbour that his dog barks too much?",
        "What is a courteous manner of letting the person next door know about the noise of their dog?",
        "Suggest a way to train a dog that barks at the neighbours.",
    ),
    (
        "Summarize the causes of soil erosion on hillsides in two sentences.",
        "In two sentences, summarize what causes soil erosion on hillsides.",
        "Give a brief summary, two sentences long, of why slopes lose their soil.",
        "Describe in two sentences how terraces are built on hillsides.",
    ),
    (
        "What is the difference between a strait and a channel?",
        "How do a strait and a channel differ?",
        "In geography, what distinguishes a channel from a strait?",
        "What is the longest strait between two continents?",
    ),
    (
        "Plan a three-day trip to a small island for a family with a toddler.",
        "For a family with a toddler, plan a trip of three days to a small island.",
        "Draft an itinerary for parents and a two-year-old who spend a long weekend on an islet.",
        "Which things should a family with a toddler pack for a flight of three hours?",
    ),
    (
        "If a rectangle is twice as long as wide and its perimeter is 36 metres, what is its area?",
        "What is the area of a rectangle that is twice as long as wide and has a perimeter of 36 metres?",
        "The length of a field is double its width, and the fence around it measures 36 m. Find how many square metres it covers.",
        "If a square has an area of 36 square metres, what is its perimeter?",
    ),
    (
        "Give me five names for a cafe that sells books as well.",
        "I have a cafe that sells books as well: give me five names for it.",
        "What could a coffee shop and bookstore in one be called? Propose five options.",
        "Give me five books that a cafe owner should read.",
    ),
    (
        "Translate into French: Where can I leave my bicycle overnight?",
        "Where can I leave my bicycle overnight? Translate it into French.",
        "How do you ask in French about a place to park a bike for the night?",
        "Translate into French: When does the last bus to the station leave?",
    ),
    (
        "Describe how a canal lock lifts a boat from one level to another.",
        "How does a canal lock lift a boat from one level to another? Describe it.",
        "Explain the way ships are raised between two heights of water by a lock.",
        "Describe how a crane lifts a boat out of the water in winter.",
    ),
    (
        "What would happen if bees disappeared from the earth?",
        "If bees disappeared from the earth, what would happen?",
        "Discuss the consequences for our planet of an extinction of bees.",
        "How do bees find their way back to the hive?",
    ),
    (
        "Write an email that asks a supplier to deliver forty chairs a week earlier.",
        "Write an email to a supplier asking for delivery of forty chairs one week earlier.",
        "Draft a message requesting that a vendor send 40 seats seven days ahead of schedule.",
        "Write an email that thanks a supplier for forty chairs of good quality.",
    ),
    (
        "Classify the following review as positive or negative: The soup was cold and the waiter never came back.",
        "Is the following review positive or negative? The soup was cold and the waiter never came back.",
        "Tell whether this opinion on a restaurant is good or bad: my broth had gone cold and nobody returned to our table.",
        "Write a positive review of a restaurant in which the soup is hot.",
    ),
    (
        "How many different ways are there to seat four people at a round table?",
        "In how many different ways can four people be seated at a round table?",
        "Count the distinct circular arrangements of 4 guests around a table.",
        "How large must a round table be so that eight people can sit at it?",
    ),
    (
        "Explain the rule of thumb that the last one out turns off the lights.",
        "The last one out turns off the lights: explain this rule of thumb.",
        "What is meant by saying that whoever leaves last should switch the lamps off?",
        "Explain how a lamp knows that somebody walks by at night.",
    ),
    (
        "Name two rivers that flow into the Black Sea and one city on each of them.",
        "Which two rivers flow into the Black Sea? Name them and one city on each.",
        "Give a pair of streams emptying into the Black Sea, each with a town on its banks.",
        "Name two countries on the Black Sea and the capital of each of them.",
    ),
    (
        "Turn these notes into a paragraph: harbor, 1865, two basins, forty ships, storm.",
        "Harbor, 1865, two basins, forty ships, storm: turn these notes into a paragraph.",
        "Write running text from the following keywords - storm, forty ships, two basins, harbor, 1865.",
        "List the dates in this paragraph: The harbor was built in 1865 and rebuilt in 1953.",
    ),
    (
        "What should I check before I buy a used sailing boat?",
        "Before I buy a used sailing boat, what should I check?",
        "Which points need inspection when purchasing a second-hand yacht?",
        "Where can I sell a used sailing boat for a good price?",
    ),
    (
        "Write a regular expression that matches dates such as 2024-05-31.",
        "Which regular expression matches dates such as 2024-05-31? Write it.",
        "I need a regex for days in the form year-month-day, like 2024-05-31.",
        "Write a regular expression that matches postal codes such as 10115.",
    ),
    (
        "Why is the sea salty while rivers are not?",
        "Rivers are not salty; why is the sea?",
        "What explains the salt in the ocean when the water that flows into it is fresh?",
        "How is drinking water made of salty sea water?",
    ),
    (
        "Invent a riddle whose answer is a shadow.",
        "A shadow is the answer: invent a riddle for it.",
        "Come up with a puzzle in words for which people must guess 'shadow'.",
        "Invent a story whose hero is afraid of his shadow.",
    ),
    (
        "How can a village of two hundred people keep its only shop open?",
        "What can a village of two hundred people do to keep its only shop open?",
        "Ideas for saving the last store in a hamlet with 200 inhabitants?",
        "When does the only shop of a village usually close?",
    ),
    (
        "Sort these words by their number of letters: harbor, sea, lighthouse, boat, ferry.",
        "Harbor, sea, lighthouse, boat, ferry: sort these words by the number of their letters.",
        "Order the list 'boat, ferry, sea, lighthouse, harbor' according to how long each word is.",
        "Count the letters of this sentence: The ferry leaves the harbor at noon.",
    ),
)
"""A question, the same in another order, in other words, and another question about the same thing."""
FORMS: Final = ("verbatim", "near", "far", "other")


def rows_of(data: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a pool as messages."""
    pool = Pool.read(data / "pools" / f"{name}.jsonl.zst")
    return [{"messages": [turn.as_row() for turn in example.messages]} for example in pool.examples()]


def written(path: Path, rows: list[dict[str, Any]]) -> Pool:
    """Rows as a pool of a file."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return Pool.read(path)


def paraphrases(data: Path, work: Path, rng: random.Random, n_rows: int) -> dict[str, Any]:
    """Recall of each form at each threshold, and the other rows that are named."""
    own = work / "own.jsonl"
    own.write_text("".join(json.dumps({"question": forms[0]}) + "\n" for forms in ITEMS), encoding="utf-8")
    sets = [str(own), str(data / "eval" / "alpaca_eval_805.jsonl.zst")]
    clean = rng.sample(rows_of(data, "self_instruct_5k"), n_rows)
    planted = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "It depends on the weather and on the harbor."}]}
        for forms in ITEMS
        for text in forms
    ]
    pool = Pool.of([*planted, *clean])
    started = time.process_time()
    named = {"paraphrased-contamination": {"threshold": min(THRESHOLDS)}, "contamination": {}}
    table = {"check": [{"kind": kind, "sets": sets, **more} for kind, more in named.items()]}
    verdict = gate(pool, GateConfig.of(table, work, where="the benchmark"))
    seconds = time.process_time() - started
    cosine: dict[int, tuple[float, str]] = {}
    grams: set[int] = set()
    for result in verdict.results:
        for finding in result.findings:
            assert finding.place is not None
            line = finding.place.line - 1
            if result.check.kind == "contamination":
                grams.add(line)
            else:
                cosine[line] = float(finding.value or 0.0), finding.message
    n_planted = len(planted)
    figures: dict[str, Any] = {"rows": n_rows, "items": len(ITEMS) + 805, "processor_seconds": round(seconds, 1)}
    for place, form in enumerate(FORMS):
        lines = range(place, n_planted, len(FORMS))
        found = {str(threshold): sum(cosine.get(line, (0.0, ""))[0] >= threshold for line in lines) for threshold in THRESHOLDS}
        figures[form] = {
            "planted": len(ITEMS),
            "found": found,
            "intervals": {key: [round(bound, 3) for bound in wilson(count, len(ITEMS))] for key, count in found.items()},
            "by_ngrams": sum(line in grams for line in lines),
        }
    figures["without_plant"] = {
        str(threshold): sum(value >= threshold for line, (value, _) in cosine.items() if line >= n_planted) for threshold in THRESHOLDS
    }
    listed = sorted(((value, line) for line, (value, _) in cosine.items() if line >= n_planted), reverse=True)
    for value, line in listed[:25]:
        print(f"{value:.3f}", cosine[line][1], "|", pool.examples([line]).__next__().messages[0].content[:120].replace("\n", " "))
    return {"paraphrases": figures}


def drifting(data: Path, work: Path, rng: random.Random, n_rows: int) -> dict[str, Any]:
    """AUC of new rows of the same pool, and with a share of another pool's."""
    rows = rng.sample(rows_of(data, "self_instruct_5k"), 2 * n_rows)
    others = rng.sample(rows_of(data, "code_alpaca_2k"), n_rows // 2)
    started = time.process_time()
    baseline = Baseline.create(written(work / "pool.jsonl", rows[:n_rows]), Request(encoder="embedded"))
    made = time.process_time() - started
    table = {"check": [{"kind": "drift", "indicator": ["vectors"], "method": "auc"}]}
    figures: dict[str, Any] = {"rows": n_rows, "baseline_processor_seconds": round(made, 1)}
    for share in (0.0, 0.1, 0.3, 0.5):
        number = round(share * n_rows)
        new = [*rows[n_rows : 2 * n_rows - number], *others[:number]]
        started = time.process_time()
        verdict = gate(Change.of(written(work / "new.jsonl", new), baseline), GateConfig.of(table, work, where="the benchmark"))
        (result,) = verdict.results
        limit = result.limits[0]
        figures[f"{share:.0%} of another pool"] = {
            "state": result.state,
            "auc": limit.value,
            "interval": [limit.low, limit.high],
            "processor_seconds": round(time.process_time() - started, 1),
        }
        print(share, figures[f"{share:.0%} of another pool"], flush=True)
    return {"drift": figures}


def main() -> None:
    """Run both parts and write what they measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=_record.ROOT.parent / "shared" / "data")
    parser.add_argument("--rows", type=int, default=2000, help="rows without a plant")
    parser.add_argument("--drift-rows", type=int, default=1000, help="rows of a baseline, and of a change")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", nargs="+", choices=("paraphrases", "drift"), default=("paraphrases", "drift"))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    about: dict[str, Any] = {"seed": options.seed, "encoder": "all-MiniLM-L6-v2"}
    with tempfile.TemporaryDirectory() as folder:
        if "paraphrases" in options.only:
            figures = paraphrases(options.data.resolve(), Path(folder), rng, options.rows)
            print(json.dumps(figures["paraphrases"], indent=1), flush=True)
            _record.write("gate_paraphrases", about | figures)
        if "drift" in options.only:
            _record.write("gate_vector_drift", about | drifting(options.data.resolve(), Path(folder), rng, options.drift_rows))


if __name__ == "__main__":
    main()
