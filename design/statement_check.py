"""The smallest executable form of the statements of node.md: full or gaps, lengths compared at a moment, claims with a moment and a ground.

Peers hold random parts of feeds and ask one another one question. After each answer the truth is looked up: if it was called complete, the asker
must hold every matching entry below every length that a participant knew when it spoke, up to where a feed is known to fork. Peers fail in the middle, hear of
growth between their statement and the comparison, and prove forks to one another. Beside it the classic scheme: every feed's claimed length, told to everybody.
Run: python3 statement_check.py [histories]. It also takes out one rule at a time, and fails if that does no harm.
"""
import random, sys

RULES = ['feeds excepted', 'moment of a claim', 'gaps name a length', 'moment of a statement', 'ground', 'who fails claims nothing']

class Peer:
    def __init__(s, name):
        s.name, s.held, s.knows, s.grew, s.moment = name, set(), {}, {}, 0
        s.forks, s.claims, s.lengths = {}, {}, {}
    def learn(s, feed, length):
        if length > s.knows.get(feed, 0):
            s.moment += 1
            s.knows[feed], s.grew[feed] = length, s.moment
    def ground(s, out): return 0 if 'ground' in out else frozenset(s.forks.items())
    def end(s, f): return min(s.knows[f], s.forks.get(f, 1 << 60))
    def whole(s, f): return all((f, i) in s.held for i in range(s.end(f)))
    def gaps(s, out):                     # feeds of which it does not hold all that matches, as far as it can tell
        m, but = s.claims.get(s.ground(out), (-1, frozenset()))
        late = lambda f: s.grew[f] > m and 'moment of a claim' not in out or m < 0
        return {f: s.end(f) for f in s.knows if not s.whole(f) and (late(f) or f in but)}
    def counts(s, e): return e[1] < s.forks.get(e[0], 1 << 60)
    def take(s, p, wanted, share, rng):
        for (f, i) in wanted:
            if rng.random() < share:
                s.held.add((f, i)); s.learn(f, p.knows[f])     # a block comes with a head
    def answer(s, matches, erasers):      # what an entry that counts here made redundant is not sent
        gone = lambda e: any(g in s.held and s.counts(g) for g in erasers.get(e, ()))
        return sorted(e for e in s.held if e in matches and not gone(e))

def ask(rng, a, others, matches, erasers, out, meanwhile):
    for _ in range(3):                    # again if a fork comes to light
        ground, said, failed = a.ground(out), {}, set()
        for p in others:
            p.forks = {f: min(p.forks.get(f, 1 << 60), a.forks.get(f, 1 << 60)) for f in {**p.forks, **a.forks} if f in p.knows or f in p.forks}
            broken = rng.random() < .15
            if broken: failed.add(p)
            a.take(p, p.answer(matches, erasers), .5 if broken else 1, rng)
            if broken and 'who fails claims nothing' not in out: continue
            said[p] = (p.gaps(out), p.moment, {f: p.end(f) for f in p.knows}, p.ground(out))
            for f, s in p.forks.items(): a.forks[f] = min(s, a.forks.get(f, 1 << 60))
            for f, n in said[p][0].items():
                if 'gaps name a length' not in out: a.learn(f, n)
                else: said[p][0][f] = a.knows.get(f, 0)
        if a.ground(out) == ground and all(s[3] == ground for s in said.values()) or 'ground' in out: break
    else: said = {}
    for p in others: meanwhile(p)         # what a peer hears now is not in its answer
    meanwhile(a)
    moment, own = a.moment, a.gaps(out)
    def covers(y, f, n):                  # the comparison: did y know of f to this length when it spoke, and claim it?
        gaps, then, _, _ = said[y]
        knew = y.knows.get(f, 0) >= n and (y.grew.get(f, 0) <= then or 'moment of a statement' in out)
        return knew and f not in gaps
    left = {f for f, n in own.items() if not any(covers(y, f, n) for y in said)}
    for x in said:
        for f, n in said[x][0].items():
            mine = f not in own and a.knows.get(f, 0) >= n
            if not mine and not any(y is not x and covers(y, f, n) for y in said): left.add(f)
    complete = not left and bool(said or not others)
    if said: a.claims[a.ground(out)] = (moment, frozenset() if 'feeds excepted' in out else frozenset(left))
    took_part = [p for p in said if p not in failed or 'who fails claims nothing' in out]
    end = lambda f, n: min(n, a.forks.get(f, 1 << 60))
    must = {(f, i) for p in took_part for f, n in said[p][2].items() for i in range(end(f, n))}
    must |= {(f, i) for f, n in a.knows.items() for i in range(end(f, n))}
    # What an entry that counts made redundant is not needed, if that entry is there.
    gone = lambda e: any(g in a.held and a.counts(g) for g in erasers.get(e, ()))
    truth = all(e in a.held or gone(e) for e in must if e in matches and a.counts(e))
    # Classic: lengths claimed and known, of all feeds, by all.
    best, known = {}, {}
    for p in took_part + [a]:
        for f, n in p.knows.items():
            known[f] = max(known.get(f, 0), n)
            best[f] = max(best.get(f, 0), n if p.whole(f) else p.lengths.get(f, 0))
    classic = all(best[f] >= end(f, n) for f, n in known.items()) and bool(took_part or not others)
    if took_part:
        for f, n in best.items(): a.lengths[f] = max(a.lengths.get(f, 0), n)
    return complete, classic, truth

def run(histories, out=()):
    wrong = said = classic_said = asked = both = 0
    for seed in range(histories):
        rng = random.Random(seed)
        peers = [Peer(i) for i in range(rng.randrange(2, 6))]
        length, matches, erasers, forking = {p.name: 0 for p in peers}, set(), {}, rng.random() < .4
        def write(p):
            for _ in range(rng.randrange(1, 4)):
                i = length[p.name]; length[p.name] += 1
                p.held.add((p.name, i))
                if rng.random() < .5:
                    before = [e for e in p.held & matches if not any(e in erasers.get(g, ()) for g in erasers)]
                    matches.add((p.name, i))
                    if before and rng.random() < .5: erasers.setdefault(rng.choice(sorted(before)), set()).add((p.name, i))
            p.learn(p.name, length[p.name])
        def hear(a):                      # lengths without entries: an announcement, a gap in another answer
            f = rng.choice(peers).name
            if length[f]: a.learn(f, rng.randrange(1, length[f] + 1))
        def meanwhile(p):
            if rng.random() < .25: hear(p)
        for _ in range(rng.randrange(5, 40)):
            a, r = rng.choice(peers), rng.random()
            if r < .3: write(a)
            elif r < .4: hear(a)
            elif r < .5: (lambda p: a.take(p, sorted(p.held), .3, rng))(rng.choice(peers))
            elif r < .53 and forking:     # evidence comes to light; entries from there on count for nobody who knows
                f = rng.choice(peers).name
                if f in a.knows: a.forks[f] = min(a.forks.get(f, 1 << 60), rng.randrange(a.knows[f] + 1))
            else:
                others = rng.sample([p for p in peers if p is not a], rng.randrange(1, len(peers)))
                complete, classic, truth = ask(rng, a, others, matches, erasers, out, meanwhile)
                asked += 1; said += complete; classic_said += classic; both += complete and classic
                wrong += bool(complete and not truth)
    return asked, said, wrong, classic_said, both

def main(histories):
    asked, said, wrong, classic, both = run(histories)
    print(f'{histories} histories, {asked} questions; complete said {said}, wrongly {wrong}; the classic scheme says it {classic} times, in {both} of these this one does')
    harmless = []
    for rule in RULES:
        _, said, bad, _, _ = run(histories, (rule,))
        print(f'  without "{rule}": said {said}, wrongly {bad}')
        if not bad: harmless.append(rule)
    sys.exit(bool(wrong or harmless))

main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
