"""The smallest executable form of the statements of protocol.md: who answers speaks of feeds that are in the answer, of those that it is asked after by name, and of
those of which it lacks something; of what it has whole it is silent. The asker asks by name after what it lacks itself, and after what one peer lacks and another may have.

Peers hold random parts of feeds and ask one another one question. After each answer the truth is looked up: if it was called complete, the asker must hold every
matching entry below every length that a participant knew when it looked the answer up, up to where a feed is known to fork. Peers fail in the middle, hear of growth
between their look-up and their statement, and prove forks to one another. Beside it the classic scheme: every feed's claimed length, told to everybody.
Run: python3 statement_check.py [histories]. It also takes out one rule at a time, and fails if that does no harm.
"""
import random, sys

RULES = ['gaps are told', 'gaps have a length', 'the asker takes part', 'silence claims nothing', 'lengths before the look-up', 'ground', 'who fails claims nothing']
FAR = 1 << 60

class Peer:
    def __init__(s, name):
        s.name, s.held, s.knows, s.forks, s.claims, s.lengths = name, set(), {}, {}, {}, {}
    def learn(s, feed, length): s.knows[feed] = max(length, s.knows.get(feed, 0))
    def ground(s, out): return 0 if 'ground' in out else frozenset(s.forks.items())
    def end(s, f): return min(s.knows[f], s.forks.get(f, FAR))
    def whole(s, f): return all((f, i) in s.held for i in range(s.end(f)))
    def covered(s, out):                  # of each feed: how much of what matches it has, and how long it knows the feed to be
        claims = s.claims.get(s.ground(out), {})
        return {f: (s.end(f) if s.whole(f) else min(claims.get(f, 0), s.end(f)), s.end(f)) for f in s.knows}
    def counts(s, e): return e[1] < s.forks.get(e[0], FAR)
    def take(s, p, wanted, share, rng):
        for (f, i) in wanted:
            if rng.random() < share:
                s.held.add((f, i)); s.learn(f, p.knows[f])     # a block comes with a head
    def answer(s, matches, erasers):      # what an entry that counts here made redundant is not sent
        gone = lambda e: any(g in s.held and s.counts(g) for g in erasers.get(e, ()))
        return sorted(e for e in s.held if e in matches and not gone(e))

def merge(said):
    all = {}
    for one in said:
        for f, (c, n) in one.items():
            before = all.get(f, (0, 0))
            all[f] = (max(c, before[0]), max(n, before[1]))
    return all

def ask(rng, a, others, matches, erasers, out, meanwhile):
    named, all_named = {f for f, (c, n) in a.covered(out).items() if c < n}, False
    for _ in range(4):                    # again if a fork comes to light, and once to ask by name
        ground, said, spoke, failed = a.ground(out), {}, {}, set()
        for p in others:
            p.forks = {f: min(p.forks.get(f, FAR), a.forks.get(f, FAR)) for f in {**p.forks, **a.forks} if f in p.knows or f in p.forks}
            broken = rng.random() < .15
            if broken: failed.add(p)
            before, entries = p.covered(out), p.answer(matches, erasers)
            meanwhile(p)                  # what comes now is not in the answer
            if 'lengths before the look-up' in out: before = p.covered(out)
            a.take(p, [e for e in entries], .5 if broken else 1, rng)
            if broken and 'who fails claims nothing' not in out: continue
            touched = {f for f, _ in entries} | named
            lacks = lambda c, n: c < n and 'gaps are told' not in out
            spoke[p] = {f: (c, n if c == n or 'gaps have a length' not in out else c) for f, (c, n) in before.items() if f in touched or lacks(c, n)}
            said[p] = (before, p.ground(out))
            for f, s in p.forks.items(): a.forks[f] = min(s, a.forks.get(f, FAR))
        if not (a.ground(out) == ground and all(s[1] == ground for s in said.values()) or 'ground' in out):
            said, spoke = {}, {}
            continue
        own = a.covered(out) if 'the asker takes part' not in out else {}
        lacking = {f for f, (c, n) in merge([*spoke.values(), own]).items() if c < min(n, a.forks.get(f, FAR))}
        if 'silence claims nothing' in out: lacking -= {f for f in lacking if any(f not in spoke[p] for p in spoke)}
        if all_named or lacking <= named: break
        named, all_named = named | lacking, True
    else: said, spoke = {}, {}
    meanwhile(a)
    own = a.covered(out) if 'the asker takes part' not in out else {}
    lacking = {f for f, (c, n) in merge([*spoke.values(), own]).items() if c < min(n, a.forks.get(f, FAR))}
    if 'silence claims nothing' in out: lacking -= {f for f in lacking if any(f not in spoke[p] for p in spoke)}
    complete = not lacking and bool(said or not others)
    kept = a.claims.setdefault(a.ground(out), {})
    for one in spoke.values():
        for f, (c, _) in one.items(): kept[f] = max(c, kept.get(f, 0))
    took_part = [p for p in said if p not in failed or 'who fails claims nothing' in out]
    must = {(f, i) for p in took_part for f, (_, n) in said[p][0].items() for i in range(min(n, a.forks.get(f, FAR)))}
    must |= {(f, i) for f in a.knows for i in range(a.end(f))}
    # What an entry that counts made redundant is not needed, if that entry is there.
    gone = lambda e: any(g in a.held and a.counts(g) for g in erasers.get(e, ()))
    truth = all(e in a.held or gone(e) for e in must if e in matches and a.counts(e))
    # Classic: lengths claimed and known, of all feeds, by all.
    best, known = {}, {}
    for p in took_part + [a]:
        for f, n in p.knows.items():
            known[f] = max(known.get(f, 0), n)
            best[f] = max(best.get(f, 0), n if p.whole(f) else p.lengths.get(f, 0))
    classic = all(best[f] >= min(n, a.forks.get(f, FAR)) for f, n in known.items()) and bool(took_part or not others)
    if took_part:
        for f, n in best.items(): a.lengths[f] = max(a.lengths.get(f, 0), n)
    told = sum(len(one) for one in spoke.values())
    return complete, classic, truth, told, sum(len(p.knows) for p in said)

def run(histories, out=()):
    asked = said = wrong = classic_said = both = told = all_told = 0
    for seed in range(histories):
        rng = random.Random(seed)
        peers = [Peer(i) for i in range(rng.randrange(2, 6))]
        length, matches, erasers, forking = {p.name: 0 for p in peers}, set(), {}, rng.random() < .7
        def write(p):
            for _ in range(rng.randrange(1, 4)):
                i = length[p.name]; length[p.name] += 1
                p.held.add((p.name, i))
                if rng.random() < .5:
                    before = [e for e in p.held & matches if not any(e in erasers.get(g, ()) for g in erasers)]
                    matches.add((p.name, i))
                    if before and rng.random() < .5: erasers.setdefault(rng.choice(sorted(before)), set()).add((p.name, i))
            p.learn(p.name, length[p.name])
        def hear(a):                      # a length, with one block or none
            f = rng.choice(peers).name
            if length[f]: a.learn(f, rng.randrange(1, length[f] + 1))
        def meanwhile(p):
            r = rng.random()
            if r < .2: hear(p)
            elif r < .3: write(p)
        for _ in range(rng.randrange(5, 40)):
            a, r = rng.choice(peers), rng.random()
            if r < .3: write(a)
            elif r < .4: hear(a)
            elif r < .5: (lambda p: a.take(p, sorted(p.held), .3, rng))(rng.choice(peers))
            elif r < .6 and forking:     # evidence comes to light; entries from there on count for nobody who knows
                f = rng.choice(peers).name
                if f in a.knows: a.forks[f] = min(a.forks.get(f, FAR), rng.randrange(a.knows[f] + 1))
            else:
                others = rng.sample([p for p in peers if p is not a], rng.randrange(1, len(peers)))
                complete, classic, truth, t, all = ask(rng, a, others, matches, erasers, out, meanwhile)
                asked += 1; said += complete; classic_said += classic; both += complete and classic
                told += t; all_told += all
                wrong += bool(complete and not truth)
    return asked, said, wrong, classic_said, both, told, all_told

def main(histories):
    asked, said, wrong, classic, both, told, all_told = run(histories)
    print(f'{histories} histories, {asked} questions; complete said {said}, wrongly {wrong}; the classic scheme says it {classic} times, in {both} of these this one does, and speaks of {told} feeds where that one speaks of {all_told}')
    harmless = []
    for rule in RULES:
        _, said, bad, *_ = run(histories, (rule,))
        print(f'  without "{rule}": said {said}, wrongly {bad}')
        if not bad: harmless.append(rule)
    sys.exit(bool(wrong or harmless))

main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
