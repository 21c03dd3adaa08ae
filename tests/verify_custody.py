#!/usr/bin/env python3
"""Verifies the custody beside bundles, and keyrings, with the Python standard library alone, as docs/bundle-format.md section 9 says.
python3 verify_custody.py BUNDLE|KEYRING.jsonl...   exit code 0 if all hold, 1 if one does not

Lines cut off from the end do not show in the file: compare the printed head with the one that its writer gave you on paper."""
import hashlib, json, pathlib, re, sqlite3, sys, verify

MEMBERS = ["action", "actor", "detail", "previous", "reason", "seq", "signature", "signer", "subject", "time"]
ACTIONS = {"haul-custody": ["seal", "merge", "verify", "open", "export", "share", "hand-over", "receive", "match", "report"],
           "haul-keyring": ["add", "revoke"]}
Wrong = verify.Wrong


def check_line(line, seq, previous, namespace):
    """One entry: its form, its place after the line before, its signature. Gives it back."""
    try:
        entry = json.loads(line)
    except ValueError:
        raise Wrong(f"line {seq + 1} is no JSON")
    whole = lambda value: type(value) is int
    if type(entry) is not dict or list(entry) != MEMBERS or not (whole(entry["seq"]) and whole(entry["time"])):
        raise Wrong(f"line {seq + 1} has other members than an entry")
    texts = [entry[name] for name in MEMBERS if name not in ("detail", "seq", "time")]
    detail = entry["detail"]
    if type(detail) is not dict or list(detail) != sorted(detail, key=lambda name: name.encode()) or \
            any(type(text) is not str for text in texts + list(detail.values())) or verify.jcs(entry) != line:
        raise Wrong(f"line {seq + 1} is not in its one form")
    if (entry["seq"], entry["previous"]) != (seq, previous):
        raise Wrong(f"line {seq + 1} does not follow the line before it: something was dropped, added or moved")
    if entry["action"] not in ACTIONS[namespace]:
        raise Wrong(f"line {seq + 1} is of an unknown action")
    if not re.fullmatch("ssh-ed25519 [A-Za-z0-9+/]{68}", entry["signer"]):
        raise Wrong(f"line {seq + 1}: its signer is no Ed25519 key")
    signed = verify.jcs({name: value for name, value in entry.items() if name != "signature"}).decode()
    try:
        verify.check_signature(signed, entry["signature"], entry["signer"], namespace.encode())
    except Wrong:
        raise Wrong(f"line {seq + 1} is not what its signer signed")
    return entry


def check_chain(data, namespace):
    """Every line; gives the entries and the head."""
    entries, head = [], "0" * 64
    if data and not data.endswith(b"\n"):
        raise Wrong("its last line is cut short")
    for line in data.split(b"\n")[:-1]:
        entries.append(check_line(line, len(entries), head, namespace))
        head = hashlib.sha256(line).hexdigest()
    return entries, head


def check_subjects(entries, bundle):
    """Each entry is about one bundle until it is sealed or merged anew; the last is the bundle that is there."""
    db = sqlite3.connect(bundle.resolve().as_uri() + "?mode=ro&immutable=1", uri=True)
    here = hashlib.sha256(db.execute("SELECT checkpoint FROM seal").fetchone()[0].encode()).hexdigest()
    now = None
    for place, entry in enumerate(entries):
        if now not in (None, entry["subject"]) and entry["action"] not in ("seal", "merge"):
            raise Wrong(f"line {place + 1} is about another bundle")
        now = entry["subject"]
    if now not in (None, here):
        raise Wrong("is of another bundle than the one it lies beside")


def check(path):
    path = pathlib.Path(path)
    keyring = path.suffix == ".jsonl"
    chain = path if keyring else path.with_name(path.name + ".custody.jsonl")
    entries, head = check_chain(chain.read_bytes(), "haul-keyring" if keyring else "haul-custody")
    if keyring:
        if any(entry["subject"] != "keyring" or entry["signer"] != entries[0]["signer"] for entry in entries):
            raise Wrong("has an entry of another subject or by another key than its first")
    else:
        check_subjects(entries, path)
    return f"holds, {len(entries)} entries, head {head}"


if __name__ == "__main__":
    code = 0
    for name in sys.argv[1:]:
        try:
            words = check(name)
        except (Wrong, OSError, sqlite3.Error, ValueError, TypeError, IndexError, OverflowError) as error:
            words, code = f"does not hold: {error}", 1
        print(f"{name}: {words}")
    sys.exit(code)
