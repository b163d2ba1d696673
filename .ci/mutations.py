"""Takes one rule of the node out at a time, and tries worlds: each must fail in some (design/simulation.md). A rule that is not missed is a rule that no test shows.

python3 .ci/mutations.py [worlds] [name ...]: 300 worlds, all rules. Works in a copy, target/mutations, and takes two or three minutes a rule.
"""
import os, pathlib, re, shutil, subprocess, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / 'target/mutations'
NETWORK = 'crates/kappadb/src/network/'
# What is taken out, where, and what stands there instead.
RULES = [
    ('an answerer names what it lacks', NETWORK + 'backend.rs',
     'let is_due = own.is_gap || may_have', 'let is_due = may_have'),
    ('the asker takes part', NETWORK + 'claims/covered.rs',
     'merge(covered.chain(own.iter().map(OwnAnswer::known)))', 'merge(covered)'),
    ('a gap is filled, or the answer is partial', NETWORK + 'claims/covered.rs',
     'let filled = filled.collect::<Option<Vec<&OwnAnswer>>>()?;', 'let filled: Vec<&OwnAnswer> = filled.flatten().collect();'),
    ('lengths before the look-up', NETWORK + 'backend.rs',
     'let (mut coverage, whole) = self.speak(covered,', 'drop(covered);\n        let covered = self.covered(view, selector, without, None);\n        let (mut coverage, whole) = self.speak(covered,'),
    ('nothing is told that a power cut could take back', NETWORK + 'backend.rs',
     'if tells && let Err(error)', 'if tells && self.sound && false && let Err(error)'),
    ('a write that is acknowledged is on the disk', 'crates/journal/src/journal.rs',
     'self.files.last(self.end.segment).and_then(|file| file.sync())', 'self.files.last(self.end.segment).map(drop)'),
    ('rows of another log are of no use', 'crates/view/src/generation.rs',
     'if mark.next > source.end() || !excludes_all', 'if mark.next > source.end() + 1_000_000 || !excludes_all'),
    ('a token is of one copy of the log', NETWORK + 'backend.rs',
     'then.end <= now.end;', 'true;'),
    ('what this side lost the peer forgets', NETWORK + 'link.rs',
     'last.replace(held).is_some_and(|last| last != held)', 'last.replace(held).is_some_and(|last| last != held) && false'),
    ('two have one session', 'crates/node/src/node.rs',
     'if before.is_some() && (way == Way::Called) == mine_first {', 'if before.is_some() && (way == Way::Called) == mine_first && false {'),
    ('who is lost is called again', 'crates/node/src/node.rs',
     'self.kept && peer.known && !peer.dialling', 'self.kept && peer.known && peer.why.is_none() && !peer.dialling'),
    ('what is followed is asked in each new session', 'crates/node/src/node.rs',
     'let follows = self.follows.iter().map(|follow| (*follow, Following::Asked)).collect();', 'let follows = std::collections::BTreeMap::new();'),
    ('those who are left out are left out by both', NETWORK + 'claims.rs',
     'if !answers.ground.is_shared() || answers.ground != self.ground_of(view, reader)? {', 'if answers.ground != self.ground_of(view, reader)? && false {'),
]

def run(worlds):
    env = {**os.environ, 'KAPPADB_WORLDS': str(worlds), 'CARGO_TARGET_DIR': str(ROOT / 'target'), 'RUST_BACKTRACE': '0'}
    test = ['cargo', 'test', '--quiet', '-p', 'kappadb-tests', '--test', 'worlds', 'in_the_end']
    built = subprocess.run([*test, '--no-run'], cwd=COPY / 'tree', env=env, capture_output=True, text=True)
    if built.returncode:
        sys.exit(built.stderr[-3000:])
    try:
        done = subprocess.run(test, cwd=COPY / 'tree', env=env, capture_output=True, text=True, timeout=1200)
    except subprocess.TimeoutExpired:
        return 'it hangs'
    said = re.search(r'seed \d+: .*', done.stderr + done.stdout)
    failed = re.search(r'these seeds fail: \[(.*)\]', done.stderr + done.stdout)
    return None if done.returncode == 0 else f"{len(failed.group(1).split(',')) if failed else '?'} worlds fail; {said.group(0)[:160] if said else 'a panic'}"

def main():
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    names = [word for word in sys.argv[1:] if not word.isdigit()]
    worlds, missed = numbers[0] if numbers else 300, []
    tree = COPY / 'tree'
    shutil.rmtree(tree, ignore_errors=True)
    files = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split('\0')):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    for name, file, old, new in RULES:
        if names and not any(word in name for word in names):
            continue
        path = tree / file
        text = path.read_text()
        if text.count(old) != 1:
            sys.exit(f'{name}: {file} does not have once: {old}')
        path.write_text(text.replace(old, new))
        found = run(worlds)
        path.write_text(text)
        print(f"{name}: {found or 'NOT MISSED'}", flush=True)
        missed += [] if found else [name]
    sys.exit(f'not missed: {missed}' if missed else 0)

main()
