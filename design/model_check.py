"""The smallest executable form of the rules in model.md, checked by brute force on random histories with holes.

An entry: feed, seq, key, ctx {feed: seq} (+ ids, explicit), depth, ext (where it is; None = nowhere, a delete), ever (hull of where
its past was), tag. Places are 1-D intervals here. Run: python3 model_check.py [histories]. It fails if the rule of model.md ever differs.
"""
import random, sys

def hit(a, b): return a is not None and b is not None and a[0] <= b[1] and b[0] <= a[1]
def hull(a, b): return b if a is None else a if b is None else (min(a[0], b[0]), max(a[1], b[1]))
def within(a, b): return a is None or (b is not None and b[0] <= a[0] and a[1] <= b[1])
def names(f, e): return f['ctx'].get(e['feed'], -1) >= e['seq'] or id(e) in f['ids']

def replaces(f, e):
    return f is not e and f['key'] == e['key'] and names(f, e) and f['depth'] > e['depth'] and within(e['ext'], f['ever'])

def dominates(g, f):
    """g makes f redundant: whatever f replaces, g replaces. Transitive by construction."""
    return (replaces(g, f) and all(g['ctx'].get(k, -1) >= s for k, s in f['ctx'].items()) and f['ids'] <= g['ids']
            and within(f['ever'], g['ever']))

def naive(f, e): return f is not e and f['key'] == e['key'] and names(f, e)
def links(f, e): return f is not e and id(e) in f['links']
def heads(S, rule): return [e for e in S if not any(rule(f, e) for f in S)]
def add(A, B): return A + [e for e in B if not any(e is a for a in A)]

def history(rng, evict=0, ids=0, hostile=0):
    W, K, N = rng.randrange(1, 5), rng.randrange(1, 4), rng.randrange(3, 40)
    held, seqs, out = [[] for _ in range(W)], [0] * W, []
    for _ in range(N):
        w, k = rng.randrange(W), rng.randrange(K)
        held[w] = add(held[w], rng.sample(out, min(len(out), rng.randrange(4))))      # gossip, holes allowed
        if rng.random() < evict: held[w] = [e for e in held[w] if rng.random() < .5]  # even its own entries
        mine = [e for e in held[w] if e['key'] == k]
        pick = [e for e in heads(mine, replaces) if rng.random() < .8 or e['feed'] == w]  # partial merges allowed
        pick = add(pick, [e for e in mine if e['feed'] == w][-1:])
        ctx, ever, depth = {}, None, 0
        for e in pick:
            for f, s in [*e['ctx'].items(), (e['feed'], e['seq'])]: ctx[f] = max(ctx.get(f, -1), s)
            ever, depth = hull(hull(ever, e['ever']), e['ext']), max(depth, e['depth'] + 1)
        x = rng.randrange(100)
        n = dict(feed=w, seq=seqs[w], key=k, ctx=ctx, ids=frozenset(), depth=depth, ever=ever, tag=rng.randrange(2),
                 ext=None if rng.random() < .15 else (x, x + rng.randrange(8)), links=[id(e) for e in pick])
        if rng.random() < ids: n['ctx'], n['ids'] = {}, frozenset(id(e) for e in pick)
        if w == 0 and rng.random() < hostile:
            b = rng.randrange(100)
            n.update(ctx={f: rng.choice([-1, 3, 10**9]) for f in range(W)}, depth=rng.randrange(12), ever=rng.choice([None, (b, b + 20), (0, 120)]))
        seqs[w] += 1; out.append(n); held[w].append(n)
    return out

BROKEN, RULE = [], dict(holds=False)
def group(title, holds=False):
    print(title); RULE['holds'] = holds

def report(name, bad, N, sent):
    print(f'{name:58s} {bad:5d} of {N} differ, {sent / N:.1f} entries sent')
    if bad and RULE['holds'] and '(wrong)' not in name: BROKEN.append(name)

def check(name, N, rule=replaces, keep=dominates, relay=False, tag=None, filter_erasers=False, **kw):
    bad = sent = 0
    for seed in range(N):
        rng = random.Random(seed); H = history(rng, **kw)
        R = [e for e in H if rng.random() < .4]; P = [e for e in H if rng.random() < .6]
        x = rng.randrange(100); q = (x, x + rng.randrange(30)); wide = (q[0] - 5, q[1] + 5)
        ans = lambda S: {id(e) for e in heads(S, rule) if hit(e['ext'], q) and tag in (None, e['tag'])}
        def serve(S, q):
            out = [e for e in S if not any(keep(g, e) for g in S) and (hit(e['ext'], q) or hit(e['ever'], q))]
            return [e for e in out if e['tag'] == tag] if filter_erasers else out
        if relay:                                   # the answering peer is sparse itself: it only asked for a wider box before
            M = [e for e in H if rng.random() < .3]; got = serve(add(M, serve(P, wide)), q); whole = add(add(R, P), M)
        else: got = serve(P, q); whole = add(R, P)
        sent += len(got); bad += ans(add(R, got)) != ans(whole)
    report(name, bad, N, sent)

# What a context may be (decisions.md, "Contexts for thousands of writers"). Each scheme is a change of a history, which stands for other
# writers, or a way to read a set: `seen` gives the entries of a set with the contexts that they have there, `closed` what must travel.

def cut(H, most=1):
    """Contexts name few feeds: of the rest they say nothing."""
    for e in H: e['ctx'] = dict(sorted(e['ctx'].items())[:most])

def same_names(H):
    """Two feeds are called alike in contexts."""
    name = lambda f: max(f, 1)
    for e in H:
        ctx = {}
        for f, s in e['ctx'].items(): ctx[name(f)] = max(ctx.get(name(f), -1), s)
        e.update(feed=name(e['feed']), ctx=ctx)

def last_of_each_feed(S):
    """Of one feed only the last entry of a key counts."""
    return [e for e in S if not any(f['feed'] == e['feed'] and f['key'] == e['key'] and f['seq'] > e['seq'] for f in S)]

def by_reference(whole_every=4):
    """Most contexts are the ids of what is replaced, and include what those name: as far as it is held. What is included is remembered
    by id, held or not, so that nothing makes an entry redundant that does not include the same."""
    def seen(S):
        held, done = {id(e): e for e in S}, {}
        def full(e):
            if id(e) not in done:
                ctx, ids = dict(e['ctx']) if whole(e) else {}, set(e['ids'])
                if not whole(e):
                    for link in e['links']:
                        ids.add(link)
                        if link in held and held[link]['depth'] < e['depth']:
                            base = full(held[link])
                            ids |= base['ids']
                            for f, s in base['ctx'].items(): ctx[f] = max(ctx.get(f, -1), s)
                done[id(e)] = dict(e, ctx=ctx, ids=frozenset(ids))
            return done[id(e)]
        return [full(e) for e in S]
    whole = lambda e: e['depth'] % whole_every == 0
    def closed(S, sent):
        held, out, todo = {id(e): e for e in S}, [], list(sent)
        while todo:
            e = todo.pop()
            if any(e is a for a in out): continue
            out.append(e)
            if not whole(e): todo += [held[link] for link in e['links'] if link in held]
        return out
    return seen, closed

def check_contexts(name, N, change=lambda H: None, seen=lambda S: S, closed=lambda S, sent: sent, relay=False, **kw):
    bad = sent = 0
    for seed in range(N):
        rng = random.Random(seed); H = history(rng, **kw); change(H)
        R, P, M = ([e for e in H if rng.random() < p] for p in (.4, .6, .3))
        x = rng.randrange(100); q = (x, x + rng.randrange(30)); wide = (q[0] - 5, q[1] + 5)
        key = lambda e: (e['feed'], e['seq'], e['key'], e['depth'], e['ext'])
        ans = lambda S: sorted(key(e) for e in heads(seen(S), replaces) if hit(e['ext'], q))
        def serve(S, q):
            V = seen(S); out = [e for e in V if not any(dominates(g, e) for g in V) and (hit(e['ext'], q) or hit(e['ever'], q))]
            return closed(S, [e for e in S if any(key(e) == key(v) for v in out)])
        if relay: got = serve(add(M, serve(P, wide)), q); all_ = add(add(R, P), M)
        else: got = serve(P, q); all_ = add(R, P)
        sent += len(got); bad += ans(add(R, got)) != ans(all_)
    report(name, bad, N, sent)

def immortal(writers, most):
    """How many versions are active after two rounds of writers, one after the other, whose contexts name few feeds."""
    active, depth = [], 0
    for n in range(2 * writers):
        f, s = n % writers, n // writers
        ctx, direct = {}, set()
        for e in heads(active, replaces):
            direct.add(e['feed'])
            for g, t in [*e['ctx'].items(), (e['feed'], e['seq'])]: ctx[g] = max(ctx.get(g, -1), t)
        ctx = dict(sorted(ctx.items(), key=lambda item: (item[0] not in direct, item[0]))[:most])
        new = dict(feed=f, seq=s, key=0, ctx=ctx, ids=frozenset(), depth=n, ext=None, ever=None)
        active = [e for e in active if not dominates(new, e)] + [new]
    return len(active)

def contexts(N):
    everything = dict(evict=.3, ids=.3, hostile=.5, relay=True)
    group('contexts that name few of the feeds they know, or two feeds by one name: the rule holds, and costs', holds=True)
    check_contexts('  cut, everything at once through a sparse relay', N, change=cut, **everything)
    check_contexts('  one name for two feeds, the same', N, change=same_names, **everything)
    for most in (4, 32, 64): print(f'  60 writers twice, contexts of {most} feeds: {immortal(60, most)} versions are active')
    group('of one feed only the last entry of a key counts (wrong):')
    check_contexts('  honest', N, seen=last_of_each_feed)
    check_contexts('  one hostile writer', N, seen=last_of_each_feed, hostile=.5)
    group('contexts that include those of other entries by reference, one of four whole:')
    seen, closed = by_reference()
    check_contexts('  what is referred to does not travel', N, seen=seen)
    check_contexts('  it does', N, seen=seen, closed=closed)
    check_contexts('  it does, evicting writers', N, seen=seen, closed=closed, evict=.3)
    check_contexts('  it does, everything through a sparse relay (wrong)', N, seen=seen, closed=closed, **everything)

def minus(S, D): return [e for e in S if e['feed'] not in D]
def active(S): return [e for e in S if not any(dominates(g, e) for g in S)]
def needed(S, q): return [e for e in S if hit(e['ext'], q) or hit(e['ever'], q)]

def serve_without(S, q, D):
    """What is sent to somebody who has dropped the feeds D, made of the answer to somebody who has not: only keys of which an entry of
    D is in that answer are looked at anew."""
    usual = needed(active(S), q)
    keys = {e['key'] for e in usual if e['feed'] in D}
    anew = needed(active(minus([e for e in S if e['key'] in keys], D)), q)
    return [e for e in minus(usual, D) if e['key'] not in keys] + anew

def serve_hiding(S, q, D): return minus(needed(active(S), q), D)    # wrong: lacks what only D made redundant

def check_dropped(name, N, serve=serve_without, relay=None, **kw):
    """Asker and peer have each dropped feeds of their own. The asker's answer must be that over what both hold without them. A relay
    had asked the peer for a wider box before, on its own ground: its answer stands for the peer's if it had dropped all that the asker
    has ('covering'), not if it had dropped others ('any')."""
    bad = sent = 0
    for seed in range(N):
        rng = random.Random(seed); H = history(rng, **kw)
        feeds = sorted({e['feed'] for e in H})
        some = lambda of: {f for f in of if rng.random() < .4}
        R = [e for e in H if rng.random() < .4]; P = [e for e in H if rng.random() < .6]
        Da, Dp = some(feeds), some(feeds)
        x = rng.randrange(100); q = (x, x + rng.randrange(30)); wide = (q[0] - 5, q[1] + 5)
        ans = lambda S: {id(e) for e in heads(S, replaces) if hit(e['ext'], q)}
        whole = minus(P, Dp)
        if relay:
            Dm = some(feeds) | Da if relay == 'covering' else some(feeds)
            M = [e for e in H if rng.random() < .3]
            got = serve(minus(add(M, serve(whole, wide, Dm)), Dm), q, Da)
            whole = minus(add(M, whole), Dm)
        else: got = serve(whole, q, Da)
        sent += len(got); bad += ans(minus(add(R, got), Da)) != ans(minus(add(R, whole), Da))
    report(name, bad, N, sent)

if __name__ == '__main__':
    N = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    group('links to direct ancestors only:'); check('  honest writers, holes', N, rule=links, keep=links)
    group('version vectors alone:')
    for n, kw in (('honest', {}), ('evicting', dict(evict=.3)), ('explicit ids mixed in', dict(ids=.3)), ('one hostile writer', dict(hostile=.5))):
        check('  ' + n, N, rule=naive, keep=naive, **kw)
    group('the rule of model.md (vector or ids, depth, places; domination):', holds=True)
    for n, kw in (('honest', {}), ('evicting', dict(evict=.3)), ('explicit ids mixed in', dict(ids=.3)), ('one hostile writer', dict(hostile=.5)),
                  ('all of these, through a sparse relay', dict(evict=.3, ids=.3, hostile=.5, relay=True)), ('tag filter on answers only', dict(tag=1)),
                  ('tag filter on erasers too (wrong)', dict(tag=1, filter_erasers=True))):
        check('  ' + n, N, **kw)
    contexts(N)
    group('feeds dropped, others by the asker than by the peer:', holds=True)
    for n, kw in (('honest', {}), ('evicting', dict(evict=.3)), ('explicit ids mixed in', dict(ids=.3)), ('one hostile writer', dict(hostile=.5)),
                  ('all of these', dict(evict=.3, ids=.3, hostile=.5)),
                  ('all, through a relay that had dropped all the same', dict(evict=.3, ids=.3, hostile=.5, relay='covering')),
                  ('all, through a relay that had dropped others (wrong)', dict(evict=.3, ids=.3, hostile=.5, relay='any')),
                  ('all, the dropped only hidden by the peer (wrong)', dict(evict=.3, ids=.3, hostile=.5, serve=serve_hiding))):
        check_dropped('  ' + n, N, **kw)
    sys.exit(', '.join(name.strip() for name in BROKEN) + ': differs, and must not' if BROKEN else 0)
