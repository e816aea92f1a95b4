"""The replay of a trace (tests/bench/policy): against textbook caches, written here in their plainest form.

run-tests: plain build
"""

import csv
import random
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import OrderedDict

import pytest

from lab.edge import BUILD, ROOT

POLICY, GENERATE = BUILD / "bench/policy/policy", BUILD / "bench/policy/generate"
PLOT = ROOT / "tests/bench/policy/plot.py"
NAMES = "gdsf,gdsf*,lfuda,lfuda*,lru,lru*,sieve"


def run(*argv, trace="", code=0):
    done = subprocess.run([str(a) for a in argv], input=trace, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def text_of(requests):
    return "".join(f"{i}.25 {key} {size}\n" for i, (key, size) in enumerate(requests))


def replay(requests, size, *more, policies=NAMES):
    """{policy: row} for a cache of this size, and where everything fits under the name of the policy and 'all'."""
    out = run(POLICY, "--tsv", "--overhead", 0, "--sizes", f"{size}B", "--policies", policies, *more, "-",
              trace=text_of(requests))
    rows = {}
    for row in csv.DictReader(out.splitlines(), delimiter="\t"):
        rows.setdefault(row["policy"] if row["percent"] != "100" else row["policy"] + " all", row)
    return rows


def hits_of(requests, size, *more, policies=NAMES):
    return {name: int(row["hits"]) for name, row in replay(requests, size, *more, policies=policies).items()}


# ---- textbooks ----


def lru(requests, size):
    cache, hits = OrderedDict(), 0
    for key, n in requests:
        if key in cache:
            hits += 1
            cache.move_to_end(key)
        elif n <= size:
            while sum(cache.values()) + n > size:
                cache.popitem(last=False)
            cache[key] = n
    return hits


def second_chance(requests, size):
    queue, sizes, seen, hits = [], {}, {}, 0
    for key, n in requests:
        if key in sizes:
            hits += 1
            seen[key] = True
        elif n <= size:
            while sum(sizes.values()) + n > size:
                first = queue.pop(0)
                if seen[first]:
                    seen[first] = False
                    queue.append(first)
                else:
                    del sizes[first]
            queue.append(key)
            sizes[key], seen[key] = n, False
    return hits


def sieve(requests, size):
    queue, sizes, seen, hand, hits = [], {}, {}, 0, 0
    for key, n in requests:
        if key in sizes:
            hits += 1
            seen[key] = True
        elif n <= size:
            while sum(sizes.values()) + n > size:
                while seen[queue[hand]]:
                    seen[queue[hand]] = False
                    hand = (hand + 1) % len(queue)
                del sizes[queue.pop(hand)]
                hand = 0 if hand == len(queue) else hand
            queue.append(key)
            sizes[key], seen[key] = n, False
    return hits


def aged(worth):
    def play(requests, size):
        cache, age, turn, hits = {}, 0.0, 0, 0  # key: (worth, turn, refs, size)
        for key, n in requests:
            turn += 1
            if key in cache:
                hits += 1
                refs = cache[key][2] + 1
                cache[key] = (age + worth(refs, n), turn, refs, n)
            elif n <= size:
                while sum(c[3] for c in cache.values()) + n > size:
                    first = min(cache, key=lambda k: cache[k][:2])
                    age = cache.pop(first)[0]
                cache[key] = (age + worth(1, n), turn, 1, n)
        return hits

    return play


TEXTBOOK = {"lru*": lru, "lru": second_chance, "sieve": sieve, "lfuda*": aged(lambda refs, n: refs),
            "gdsf*": aged(lambda refs, n: refs / n)}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", TEXTBOOK)
def test_it_counts_as_the_textbook_does(name, seed):
    dice = random.Random(seed)
    sizes = [dice.choice([1, 3, 10, 40, 200, 900]) for _ in range(120)]
    requests = [(f"k{k}", sizes[k]) for k in (int(dice.paretovariate(0.6)) % 120 for _ in range(4000))]
    for size in (100, 1000, 5000):
        expected = TEXTBOOK[name](requests, size)
        assert 200 < expected < 3900
        assert hits_of(requests, size, policies=name)[name] == expected


# ---- by hand ----


def test_a_trace_that_can_be_followed_by_hand():
    requests = [("big", 90), ("a", 10), ("a", 10), ("big", 90), ("b", 10), ("big", 90), ("a", 10)]
    hits = hits_of(requests, 100)
    # Room for 100; "a" and "big" have had a hit each when "b" wants room. lru and sieve spare both, and come back to big.
    # It comes again, and a goes, which was not asked for since: two hits.
    assert hits["lru"] == hits["sieve"] == 2
    # Told at once: a is the one used less lately, and goes for b; big stays, and is the third hit.
    assert hits["lru*"] == 3
    # 2/90 for big is less than 1/10 for a: big goes for b. When it comes again, a has 2/10 and stays, and is the third.
    assert hits["gdsf"] == 3
    assert hits["gdsf all"] == 4


def test_hits_and_bytes_are_counted_apart():
    rows = replay([("big", 900), ("big", 900), ("s", 10), ("s", 10), ("s", 10)], 2000, policies="lru")
    row = rows["lru"]
    assert (row["requests"], row["hits"], row["bytes"], row["hit_bytes"]) == ("5", "3", "1830", "920")
    assert row["most_used"] == "910" and row["evicted"] == "0"


def test_what_has_changed_is_a_miss_and_leaves_no_old_content():
    rows = replay([("index", 100), ("index", 100), ("index", 150), ("index", 150), ("index", 100)], 1000)
    for name, row in rows.items():
        assert (name, row["hits"], row["most_used"]) == (name, "2", "150")


def test_what_is_too_large_is_passed_on():
    requests = [("s", 10), ("big", 500), ("big", 500), ("s", 10)]
    assert hits_of(requests, 100, policies="lfuda") == {"lfuda": 1, "lfuda all": 2}
    assert hits_of(requests, 1000, "--max-object", 400, policies="lfuda") == {"lfuda": 1, "lfuda all": 1}


def test_misses_are_a_trace_for_the_tier_behind():
    requests = [("s", 10), ("big", 500), ("big", 500), ("s", 10), ("big", 500)]
    behind = run(POLICY, "--misses", "--sizes", "100B", "--overhead", 0, "-", trace=text_of(requests))
    assert behind == "0 0 10\n1 1 500\n2 1 500\n4 1 500\n"
    assert run(POLICY, "--misses", "--sizes", "1000B", "--overhead", 0, "-", trace=behind) == "0 0 10\n1 1 500\n"


def test_what_is_warm_is_not_counted():
    rows = replay([("a", 1)] * 10, 100, "--warm", "50", policies="sieve")
    assert (rows["sieve"]["requests"], rows["sieve"]["hits"]) == ("5", "5")


def test_the_cache_never_holds_more_than_its_size():
    dice = random.Random(7)
    requests = [(f"k{k}", 1 + k * 37 % 800) for k in (dice.randrange(400) for _ in range(5000))]
    for name, row in replay(requests, 3000).items():
        if not name.endswith("all"):
            assert 2000 < int(row["most_used"]) <= 3000 and int(row["evicted"]) > 100


def test_a_line_that_is_none_is_named():
    for wrong in ("1 k", "1 k x", "x k 1", "1 k 1 1", "1 k -1", "1.2.3 k 1", "1 k 99999999999999999999"):
        assert "line 3: " in run(POLICY, "-", trace=f"# a comment\n1.5\tk 12\n{wrong}\n", code=1)
    assert "no request" in run(POLICY, "-", trace="# nothing\n", code=1)
    assert "no such policy" in run(POLICY, "--policies", "fifo", "-", code=2)


def test_the_generator_gives_the_same_trace_again():
    small = [GENERATE, "--days", 7, "--packages", 500, "--projects", 8, "--builds", 10, "--scan", 300]
    one, again, other = (run(*small, "--seed", seed) for seed in (5, 5, 6))
    assert one == again != other
    lines = [line.split() for line in one.splitlines() if not line.startswith("#")]
    times = [float(line[0]) for line in lines]
    assert times == sorted(times) and times[-1] < 7 * 86400
    night = sum(1 for t in times if 2 * 3600 <= t % 86400 < 4 * 3600)
    assert len(lines) > 3000 and night > len(lines) / 5
    indexes = {}
    for _, key, size in lines:
        if key.endswith("/index"):
            indexes.setdefault(key, set()).add(size)
    assert any(len(sizes) > 1 for sizes in indexes.values())  # releases change them


def test_the_plot_has_a_curve_for_each_policy():
    trace = text_of([(f"k{i % 30}", 10 + i % 30) for i in range(300)])
    table = run(POLICY, "--tsv", "--sizes", "10,20,50", "-", trace=trace)
    drawn = ElementTree.fromstring(run(sys.executable, PLOT, trace=table))
    assert len([e for e in drawn.iter() if e.tag.endswith("polyline")]) == 2 * 4
    words = {e.text for e in drawn.iter() if e.tag.endswith("text")}
    assert {"gdsf", "lfuda", "lru", "sieve"} <= words
