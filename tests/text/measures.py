"""Writes fixtures/measures.json: corpora and what sacreBLEU says of them; tests/text/{bleu,chrf,bootstrap}.test.ts read it.

Run with sacrebleu 2.6.0:  python tests/text/measures.py
"""
import json
import pathlib
import random

import sacrebleu
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

random.seed(14)

WORDS = (
    "the cat dog house of and in to a is was l'homme qu'il n'est aujourd'hui « » œuvre façade naïve Straße ΟΔΟΣ İstanbul "
    "3.14 1,000 12-13 2014. -5 50% $3.50 £7 e.g. U.S. well-known state-of-the-art O'Neil's rock'n'roll "
    "(maybe) [sic] {x} <b> & ; : ? ! … — – ’ ‘ “ ” #tag @user http://a.b/c?d=e&f=g C++ a/b x^2 ~ ` _ | \\ * + = "
    "猫 犬が 😀 👩‍👩‍👧 ½ Ⅷ e\u0301 \u00a0 \u2009 \u3000 \u0085 \u001c \ufeff \u200b"
).split(" ")
ENTITIES = ["&quot;", "&amp;", "&lt;", "&gt;", "&amp;lt;", "&apos;", "<skipped>"]
ENDS = [".", "!", "?", " .", "...", "", "", ",", " 7.", "9,", "  ", "\n", "-\nword", " -\n"]


def sentence():
    words = [random.choice(ENTITIES) if random.random() < 0.06 else random.choice(WORDS) for _ in range(random.randint(1, 16))]
    text = words[0]
    for word in words[1:]:
        text += random.choice([" ", " ", " ", " ", "", ", ", "  ", "\t", "-"]) + word
    text = text[:1].upper() + text[1:] if random.random() < 0.5 else text
    return text + random.choice(ENDS)


def changed(text, rate):
    """The sentence with some words left out, replaced, doubled or exchanged, as a poor translation might have them."""
    words = []
    for word in text.split(" "):
        chance = random.random()
        if chance < rate / 4:
            continue
        words.append(random.choice(WORDS) if chance < rate / 2 else word)
        if chance > 1 - rate / 4:
            words.append(word.upper())
        if chance > 1 - rate / 8 and len(words) > 1:
            words[-1], words[-2] = words[-2], words[-1]
    return " ".join(words)


def corpus(size, references, rate, empty=0.05):
    sources = [sentence() for _ in range(size)]
    sources = ["" if random.random() < empty else source for source in sources]
    hypotheses = ["" if random.random() < empty else changed(source, rate) for source in sources]
    streams = [sources] + [[changed(source, rate / 2) for source in sources] for _ in range(references - 1)]
    return hypotheses, streams


def by_sentence(streams):
    return [list(texts) for texts in zip(*streams)]


def bleu(hypotheses, streams, **options):
    metric = BLEU(**options)
    result = metric.corpus_score(hypotheses, streams)
    names = {"lowercase": "lowercase", "tokenize": "tokenize", "smooth_method": "smooth", "smooth_value": "smoothValue",
             "max_ngram_order": "maxOrder", "effective_order": "effectiveOrder"}
    return {
        "options": {names[key]: value for key, value in options.items()},
        "score": result.score, "precisions": result.precisions, "bp": result.bp,
        "counts": result.counts, "totals": result.totals,
        "hypothesisLength": result.sys_len, "referenceLength": result.ref_len,
        "signature": str(metric.get_signature()),
    }


def chrf(hypotheses, streams, **options):
    metric = CHRF(**options)
    result = metric.corpus_score(hypotheses, streams)
    names = {"lowercase": "lowercase", "char_order": "charOrder", "word_order": "wordOrder", "beta": "beta",
             "whitespace": "whitespace", "eps_smoothing": "epsSmoothing"}
    return {
        "options": {names[key]: value for key, value in options.items()},
        "score": result.score, "name": result.name, "signature": str(metric.get_signature()),
    }


BLEU_OPTIONS = [
    {}, {"tokenize": "none"}, {"tokenize": "intl"}, {"tokenize": "char"}, {"lowercase": True}, {"lowercase": True, "tokenize": "intl"},
    {"smooth_method": "floor"}, {"smooth_method": "floor", "smooth_value": 0.5}, {"smooth_method": "add-k"},
    {"smooth_method": "add-k", "smooth_value": 2}, {"smooth_method": "none"}, {"effective_order": True}, {"max_ngram_order": 2},
    {"max_ngram_order": 6, "tokenize": "char"}, {"effective_order": True, "smooth_method": "add-k"}, {"effective_order": True, "smooth_method": "none"},
]
CHRF_OPTIONS = [
    {}, {"word_order": 2}, {"word_order": 1, "lowercase": True}, {"whitespace": True}, {"eps_smoothing": True},
    {"eps_smoothing": True, "word_order": 2, "whitespace": True}, {"char_order": 3, "beta": 1}, {"beta": 3, "word_order": 2},
]

CORPORA = {
    "one reference": corpus(60, 1, 0.4),
    "three references": corpus(40, 3, 0.6),
    "no n-gram of four": (["the cat", "a dog runs", "it", ""], [["the cat sat", "a dog ran", "it", "no"]]),
    "nothing matches": (["abc def ghi jkl", "."], [["mno pqr stu vwx", "yz"]]),
    "empty hypotheses": (["", "", ""], [["one two", "three", "four five six"]]),
    "empty references": (["one two three", ""], [["", ""]]),
    "longer than the references": (["the the the the the the the", "a b c d e f g"], [["the cat", "a b c d"]]),
    "one word, many references": (["a b c d e"], [["a b c"], ["a b c d e f g"], ["x"]]),
    "1, 2 and 3 orders without a match": (["a b c x d e", "f g h"], [["a b y c d e", "h g f"]]),
    "three tokens": (["a b c"], [["a b c"]]),
}


def entry(name):
    hypotheses, streams = CORPORA[name]
    return {
        "name": name, "hypotheses": hypotheses, "references": by_sentence(streams),
        "bleu": [bleu(hypotheses, streams, **options) for options in BLEU_OPTIONS],
        "chrf": [chrf(hypotheses, streams, **options) for options in CHRF_OPTIONS],
    }


def paired():
    """Two systems, one better, by sacreBLEU's own paired bootstrap. Its draws are NumPy's: the values agree to within chance."""
    sources = [" ".join(random.choice(WORDS) for _ in range(12)) for _ in range(120)]
    baseline = [changed(source, 0.75) for source in sources]
    system = [changed(source, 0.65) for source in sources]
    samples = 10000
    test = PairedTest([("baseline", baseline), ("system", system)], {"BLEU": BLEU(), "chrF": CHRF()}, [sources], test_type="bs", n_samples=samples)
    _, scores = test()
    found = {
        name: [{"score": r.score, "mean": r.mean, "ci": r.ci, "p": r.p_value} for r in results]
        for name, results in scores.items() if name != "System"
    }
    return {"references": sources, "baseline": baseline, "system": system, "samples": samples,
            "results": json.loads(json.dumps(found, default=float))}


entries = ",\n".join(json.dumps(entry(name), separators=(",", ":")) for name in CORPORA)
out = f'{{"sacrebleu":"{sacrebleu.__version__}","corpora":[\n{entries}\n],"paired":\n{json.dumps(paired(), separators=(",", ":"))}}}\n'
path = pathlib.Path(__file__).parent / "fixtures" / "measures.json"
path.parent.mkdir(exist_ok=True)
path.write_text(out, encoding="utf-8")
print(path.stat().st_size, "bytes")
