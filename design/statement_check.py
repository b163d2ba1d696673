"""The smallest executable form of the statements of protocol.md: who answers speaks of feeds that are in the answer, of those that it is asked after by name, and of
those of which it lacks something; of what it has whole it is silent. The asker asks by name after what it lacks itself, and after what one peer lacks and another may have.

Peers hold random parts of feeds and ask one another one question. After each answer the truth is looked up: if it was called complete, the asker must hold every
matching entry below every length that a participant knew when it looked the answer up, up to where a feed is known to fork. Peers fail in the middle, hear of growth
between their look-up and their statement, and prove forks to one another. Some lie: they send a part of what they have, and say that it is all, or that they have it from others. Then "complete" may be
wrong, but only if one of those lies on whose word it is said to rest; and peers are removed, with what rests on their word. Who is found to have left out what it stated to have sent must be a liar, whatever is lost
or forks later. Beside it, where nobody lies, the classic scheme: every feed's claimed length,
told to everybody.
Run: python3 statement_check.py [histories]. It also takes out one rule at a time, and fails if that does no harm.
"""
import random, sys

RULES = ['gaps are told', 'gaps have a length', 'the asker takes part', 'silence claims nothing', 'lengths before the look-up', 'ground', 'who fails claims nothing',
         'relays say whom they relay', 'claims keep their words', 'words left out are anybody\'s', 'who is to be direct relays nobody', 'removing voids']
GUARDS = ['own word', 'what was sent', 'the same ground', 'what was sent is still held']      # without them honest peers are named for an omission
FAR = 1 << 60
MAX_WORDS = 2                             # few, so that there are more
NOBODY = ({}, None)                       # words: peers, with the fewest hands they went through, and the most hands of those for whom there was no room

def together(one, two, out):
    all = dict(one[0])
    for p, h in two[0].items(): all[p] = min(h, all.get(p, h))
    farthest_first = sorted(all.items(), key=lambda w: (-w[1], w[0]))
    more = [m for m in (one[1], two[1]) if m is not None] + [h for _, h in farthest_first[MAX_WORDS:]]
    return dict(farthest_first[:MAX_WORDS]), None if "words left out are anybody's" in out else max(more, default=None)
def told_by(words, p, me, out):
    return together(({q: h + 1 for q, h in words[0].items() if q != me}, None if words[1] is None else words[1] + 1), ({p: 0}, None), out)
def hands(words): return max([*words[0].values(), words[1] or 0], default=0)
def rests_on(words, p): return words[1] is not None or p in words[0]

class Peer:
    def __init__(s, name):
        s.name, s.held, s.knows, s.forks, s.claims, s.lengths, s.stated, s.lies = name, set(), {}, {}, {}, {}, [], False
    def learn(s, feed, length): s.knows[feed] = max(length, s.knows.get(feed, 0))
    def ground(s, out): return 0 if 'ground' in out else frozenset(s.forks.items())
    def end(s, f): return min(s.knows[f], s.forks.get(f, FAR))
    def whole(s, f): return all((f, i) in s.held for i in range(s.end(f)))
    def relayed(s, out, most):            # claims to feeds that it does not hold whole, that went through so many hands
        claims = s.claims.get(s.ground(out), {})
        return {f: (min(n, s.end(f)), w) for f, (n, w) in claims.items() if f in s.knows and not s.whole(f) and hands(w) <= most}
    def covered(s, out, most=FAR):        # of each feed: how much of what matches it has, and how long it knows the feed to be
        claims = s.relayed(out, most)
        return {f: (s.end(f) if s.whole(f) else claims.get(f, (0,))[0], s.end(f)) for f in s.knows}
    def words(s, out, most=FAR):
        all = NOBODY
        for _, w in s.relayed(out, most).values(): all = together(all, w, out)
        return all
    def lose(s, share, rng):              # and with it what earlier answers have shown
        s.held, s.claims = {e for e in s.held if e[0] == s.name or rng.random() > share}, {}
    def omissions(s, matches, erasers, out):
        active = set(s.answer(matches, erasers))
        for by, ground, claimed, sent in s.stated:
            same = ground == s.ground(()) or 'the same ground' in out
            if same and (sent <= s.held or 'what was sent is still held' in out):
                for (f, i) in active - (set() if 'what was sent' in out else sent):
                    if i < claimed.get(f, 0): yield by
    def forget(s, q):
        for ground, claims in s.claims.items(): s.claims[ground] = {f: c for f, c in claims.items() if not rests_on(c[1], q)}
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

def statement(rng, p, a, direct, matches, erasers, out):
    """What a peer covers, on whose word, and what it sends."""
    entries = p.answer(matches, erasers)
    if p.lies:
        others = ({rng.randrange(5): 0}, None) if rng.random() < .3 and not direct else NOBODY
        return {f: (p.end(f), p.end(f)) for f in p.knows}, told_by(others, p.name, a.name, out), [e for e in entries if rng.random() < .6]
    most = -1 if direct and 'who is to be direct relays nobody' not in out else FAR
    words = NOBODY if direct or 'relays say whom they relay' in out else p.words(out, most)
    return p.covered(out, most), told_by(words, p.name, a.name, out), entries

def ask(rng, a, others, matches, erasers, out, meanwhile, direct=False):
    most = 0 if direct else FAR
    named, all_named = {f for f, (c, n) in a.covered(out, most).items() if c < n}, False
    for _ in range(4):                    # again if a fork comes to light, and once to ask by name
        ground, said, spoke, failed, words, signed = a.ground(out), {}, {}, set(), {}, {}
        for p in others:
            p.forks = {f: min(p.forks.get(f, FAR), a.forks.get(f, FAR)) for f in {**p.forks, **a.forks} if f in p.knows or f in p.forks}
            broken = rng.random() < .15
            if broken: failed.add(p)
            before, heard, entries = statement(rng, p, a, direct, matches, erasers, out)
            meanwhile(p)                  # what comes now is not in the answer
            if 'lengths before the look-up' in out and not p.lies: before = p.covered(out, -1 if direct else FAR)
            own = {f: c for f, (c, _) in before.items() if p.lies or p.whole(f) or 'own word' in out}
            signed[p] = own, {e for e in a.held if e in matches} | set(entries)
            a.take(p, [e for e in entries], .5 if broken else 1, rng)
            if broken and 'who fails claims nothing' not in out: continue
            touched = {f for f, _ in entries} | named
            lacks = lambda c, n: c < n and 'gaps are told' not in out
            spoke[p] = {f: (c, n if c == n or 'gaps have a length' not in out else c) for f, (c, n) in before.items() if f in touched or lacks(c, n)}
            said[p], words[p] = (before, p.ground(out)), heard
            for f, s in p.forks.items(): a.forks[f] = min(s, a.forks.get(f, FAR))
        if not (a.ground(out) == ground and all(s[1] == ground for s in said.values()) or 'ground' in out):
            said, spoke, words = {}, {}, {}
            continue
        own = a.covered(out, most) if 'the asker takes part' not in out else {}
        lacking = {f for f, (c, n) in merge([*spoke.values(), own]).items() if c < min(n, a.forks.get(f, FAR))}
        if 'silence claims nothing' in out: lacking -= {f for f in lacking if any(f not in spoke[p] for p in spoke)}
        if all_named or lacking <= named: break
        named, all_named = named | lacking, True
    else: said, spoke, words = {}, {}, {}
    meanwhile(a)
    # Earlier claims count, with their words, where those who took part now leave a gap.
    takes_part = 'the asker takes part' not in out
    union, relayed, on = merge([*spoke.values(), a.covered(out, -1) if takes_part else {}]), a.relayed(out, most) if takes_part else {}, NOBODY
    for w in words.values(): on = together(on, w, out)
    lacking = {f for f, (c, n) in union.items() if c < min(n, a.forks.get(f, FAR))}
    for f in set(lacking):
        c, w = relayed.get(f, (0, NOBODY))
        if c >= min(union[f][1], a.forks.get(f, FAR)):
            lacking.remove(f)
            on = together(on, w, out)
    if 'silence claims nothing' in out: lacking -= {f for f in lacking if any(f not in spoke[p] for p in spoke)}
    complete = not lacking and bool(said or not others) and (not direct or not hands(on))
    if 'ground' not in out: a.stated += [(p, ground, *signed[p]) for p in said if p not in failed]
    kept = a.claims.setdefault(a.ground(out), {})
    for p, one in spoke.items():
        w = told_by(NOBODY, p.name, a.name, out) if 'claims keep their words' in out else words[p]
        for f, (c, _) in one.items():
            before = kept.get(f, (0, NOBODY))
            kept[f] = max((c, w), before, key=lambda claim: (claim[0], -hands(claim[1])))
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
    return complete, classic, truth, told, sum(len(p.knows) for p in said), on

def run(histories, out=()):
    asked = said = wrong = lied = classic_said = both = told = all_told = found = slandered = 0
    for seed in range(histories):
        rng = random.Random(seed)
        peers = [Peer(i) for i in range(rng.randrange(2, 6))]
        liars = {p.name for p in peers if rng.random() < .3} if rng.random() < .5 else set()
        for p in peers: p.lies = p.name in liars
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
            for by in (by for p in peers for by in p.omissions(matches, erasers, out)): found += by.lies; slandered += not by.lies
            a, r = rng.choice(peers), rng.random()
            if r < .3: write(a)
            elif r < .4: hear(a)
            elif r < .43: a.lose(.3, rng)
            elif r < .5: (lambda p: a.take(p, sorted(p.held), .3, rng))(rng.choice(peers))
            elif r < .6 and forking:     # evidence comes to light; entries from there on count for nobody who knows
                f = rng.choice(peers).name
                if f in a.knows: a.forks[f] = min(a.forks.get(f, FAR), rng.randrange(a.knows[f] + 1))
            else:
                removed = rng.choice(sorted(liars)) if liars and rng.random() < .2 else None
                others = rng.sample([p for p in peers if p is not a], rng.choice([1, rng.randrange(1, len(peers))]))
                if removed is not None:   # what is here says then, asking nobody, rests on nobody's word who was removed
                    others = []
                    if 'removing voids' not in out: a.forget(removed)
                direct = rng.random() < .3
                complete, classic, truth, t, all, on = ask(rng, a, others, matches, erasers, out, meanwhile, direct)
                asked += 1; said += complete
                if not liars and not direct: classic_said += classic; both += complete and classic; told += t; all_told += all
                excused = a.lies or any(rests_on(on, liar) for liar in liars - {removed})     # who lies may hear its own lie again
                lied += bool(complete and not truth and excused)
                wrong += bool(complete and not truth and not excused)
    return asked, said, wrong, lied, classic_said, both, told, all_told, found, slandered

def main(histories):
    asked, said, wrong, lied, classic, both, told, all_told, found, slandered = run(histories)
    print(f'{histories} histories, {asked} questions; complete said {said}, wrongly {wrong}, and {lied} times because one lied on whose word it is; where nobody lies the classic scheme says it {classic} times, in {both} of these this one does, and speaks of {told} feeds where that one speaks of {all_told}')
    print(f'liars were found {found} times to have left something out, honest peers {slandered} times')
    harmless = []
    for rule in RULES:
        _, said, bad, *_ = run(histories, (rule,))
        print(f'  without "{rule}": said {said}, wrongly {bad}')
        if not bad: harmless.append(rule)
    for guard in GUARDS:
        *_, bad = run(histories, (guard,))
        print(f'  without "{guard}": honest peers named {bad} times')
        if not bad: harmless.append(guard)
    sys.exit(bool(wrong or slandered or harmless))

main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
