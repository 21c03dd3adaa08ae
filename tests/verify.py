#!/usr/bin/env python3
"""Verifies Haul bundles with the Python standard library alone, as docs/bundle-format.md says.
python3 verify.py BUNDLE...   exit code 0 if all hold, 1 if one does not"""
import base64, hashlib, hmac, json, pathlib, re, sqlite3, struct, sys, urllib.parse, verify_merged, verify_partial

SCHEMA = next(p for p in (pathlib.Path(__file__).resolve().parent / n for n in ("schema.sql", "../export/src/bundle/schema.sql")) if p.exists())
RECORDS = ["account", "attachment", "call", "contact", "contact_point", "device", "location", "message", "participant", "thread", "visit"]
TARGETS = {"exhibit_id": ["exhibit"], "item_id": ["item"], "parent_id": ["item"], "file_item_id": ["item"],
           "definition_id": ["definition"], "thread_id": ["thread"], "contact_id": ["contact"],
           **dict.fromkeys(["account_id", "sender_account_id", "recipient_account_id", "remote_account_id"], ["account"]),
           "message_id": ["message"], "observable_id": ["observable"], "record_id": RECORDS}
sha256 = lambda data: hashlib.sha256(data).digest()
name_of = lambda key: key.hex() if isinstance(key, bytes) else str(key)
armored = lambda blob: "-----BEGIN SSH SIGNATURE-----\n" + re.sub(".{1,70}", r"\g<0>\n", base64.b64encode(blob).decode()) + "-----END SSH SIGNATURE-----\n"
jcs = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
Wrong = type("Wrong", (Exception,), {})

def plain(value):  # a column's value as JSON has it
    value = value.hex() if isinstance(value, bytes) else value
    return str(value) if isinstance(value, int) and abs(value) >= 2**53 else value

def leaf(seed, table, columns, row):
    key = row[0] if isinstance(row[0], bytes) else str(row[0]).encode()
    members = [(name, plain(value)) for name, value in zip(columns, row) if value is not None] + [("table", table)]
    salt = lambda name: hmac.digest(seed, key + name.encode(), "sha256")
    fields = [sha256(b"\2" + salt(name) + jcs([name, value])) for name, value in members]
    return sha256(b"\0" + b"".join(sorted(fields)))

def root(leaves):  # RFC 9162 2.1.1, level by level: an odd node at the end of a level goes up as it is
    while len(leaves) > 1:
        even = len(leaves) // 2 * 2
        leaves = [sha256(b"\1" + leaves[i] + leaves[i + 1]) for i in range(0, even, 2)] + leaves[even:]
    return leaves[0] if leaves else sha256(b"")

# Ed25519 as RFC 8032 section 5.1 says; verification only, so nothing here needs to be constant in time.
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P

def add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e, f = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = f - e, d - c, d + c, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P

def times(number, point):
    total = (0, 1, 1, 0)
    while number:
        total = add(total, point) if number & 1 else total
        point, number = add(point, point), number >> 1
    return total

def point(data):
    sign, y = divmod(int.from_bytes(data, "little"), 2**255)
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - x2) % P or (x == 0 and sign):
        raise Wrong("seal: table seal: a point is not on the curve")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P

BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))

def ed25519(public, message, signature):
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % L
    (x1, y1, z1, _), (x2, y2, z2, _) = times(s, BASE), add(point(r), times(h, point(public)))
    return (x1 * z2 - x2 * z1) % P == 0 and (y1 * z2 - y2 * z1) % P == 0

def strings(data, found=[]):  # the length-prefixed strings of SSH's wire format
    while data:
        end = 4 + struct.unpack(">I", data[:4])[0]
        found, data = found + [data[4:end]], data[end:]
    return found

def check_signature(checkpoint, signature, signer, use=b"haul-bundle"):  # OpenSSH's PROTOCOL.sshsig
    wrong = Wrong("seal: table seal: its signature is not the signer's over its checkpoint")
    lines = signature.strip().split("\n")
    try:
        blob = base64.b64decode("".join(lines[1:-1]), validate=True)
        public, space, reserved, algorithm, signed = strings(blob[10:])
        key_type, key = strings(public)
        signature_type, raw = strings(signed)
    except (ValueError, struct.error):
        raise wrong
    if (blob[:10], space, key_type, signature_type) != (b"SSHSIG\0\0\0\1", use, b"ssh-ed25519", b"ssh-ed25519") or \
            signature != armored(blob) or algorithm not in (b"sha256", b"sha512") or public != base64.b64decode(signer.split()[1]):
        raise wrong
    digest = hashlib.new(algorithm.decode(), checkpoint.encode()).digest()
    message = b"SSHSIG" + b"".join(struct.pack(">I", len(s)) + s for s in (space, reserved, algorithm, digest))
    if not ed25519(key, message, raw):
        raise wrong

def check_seal(checkpoint, signature, signer, leaves, names):  # of the leaves, by the signer, who comes back in words
    unit = "unsigned"
    if signature is not None or signer != "unsigned":
        if signature is None or not re.fullmatch("ssh-ed25519 [A-Za-z0-9+/]{68}", signer):
            raise Wrong("seal: table seal: has no signature, or its signer is no Ed25519 key")
        unit = "SHA256:" + base64.b64encode(sha256(base64.b64decode(signer.split()[1]))).decode().rstrip("=")
        check_signature(checkpoint, signature, signer)
    origin = "haul/" + "/".join(urllib.parse.quote(part, safe="-._~:") for part in (unit, *names))
    if checkpoint != f"{origin}\n{len(leaves)}\n{base64.b64encode(root(leaves)).decode()}\n":
        raise Wrong("seal: table seal: has another checkpoint than the rows give")
    return unit

def check_rows(db, tables, anys, seed):  # every leaf; the tiles help to name the first that is not as it was sealed
    leaves, names, counts, meta = [], [], [], dict(db.execute("SELECT key, value FROM meta"))
    for table, columns in tables.items():
        if table in ("seal", "seal_tile"):
            continue
        before = len(leaves)
        raws = [(i, i + 1) for i, name in enumerate(columns) if (table, name) in anys]
        for row in db.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {columns[0]}"):
            for raw, unit in raws:
                kind = None if row[unit] is None else str if row[unit] == "text" or row[unit].endswith(":text") else int
                if not (row[raw] is None if kind is None else type(row[raw]) is kind):
                    raise Wrong(f"row: table {table} row {name_of(row[0])}: {columns[raw]} is not of the type its unit says")
            leaves.append(leaf(seed, table, columns, row))
            names.append(f"table {table} row {name_of(row[0])}")
        if meta.get(f"rows_{table}") != str(len(leaves) - before):
            counts.append(f"count: table {table} has {len(leaves) - before} rows, meta says {meta.get(f'rows_{table}')}")
    tiles = list(db.execute("SELECT seq, hashes FROM seal_tile ORDER BY seq"))
    for place, (seq, hashes) in enumerate(tiles):
        if seq != place or not hashes or len(hashes) > 8192 or (len(hashes) != 8192 and place + 1 != len(tiles)):
            raise Wrong(f"tile: table seal_tile row {seq} is not where or as long as it should be")
    sealed = [hashes[i:i + 32] for _, hashes in tiles for i in range(0, len(hashes), 32)]
    place = next((i for i, (a, b) in enumerate(zip(leaves, sealed)) if a != b), min(len(leaves), len(sealed)))
    if leaves != sealed:
        if any(checkpoint.endswith(f"{len(leaves)}\n{base64.b64encode(root(leaves)).decode()}\n") for checkpoint, in db.execute("SELECT checkpoint FROM seal")):
            raise Wrong(f"tile: table seal_tile row {place // 256}: its hashes are not those of the rows, which are as they were sealed")
        here = names[place] if place < len(names) else "the end, after " + (names or ["nothing"])[-1]
        counts.insert(0, f"row: {here} is not as it was sealed, after {names[place - 1] if place else 'the beginning'}")
    if counts:
        raise Wrong("; ".join(counts))
    return leaves

def check_rules(db, tables):
    def none(words, sql):
        for key, *rest in db.execute(sql + " LIMIT 1"):
            raise Wrong(f"{words}: {name_of(key)} {rest or ''}")
    none("status: table item row", """SELECT id FROM item WHERE status NOT IN ('parsed', 'plain', 'partial', 'skipped', 'locked', 'failed')
        OR (status NOT IN ('parsed', 'plain') AND coalesce(reason, '') = '')""")
    none("count: table exhibit row", """WITH i AS (SELECT exhibit_id, count(*) AS n FROM item GROUP BY 1),
        d AS (SELECT exhibit_id, count(*) AS n FROM directory GROUP BY 1) SELECT id FROM exhibit LEFT JOIN i ON i.exhibit_id = id
        LEFT JOIN d ON d.exhibit_id = id WHERE items <> coalesce(i.n, 0) OR directories <> coalesce(d.n, 0)""")
    none("ledger: table ledger row", """SELECT id FROM ledger WHERE rows_seen <> records + rejected OR min(rows_seen, records, rejected, conflicts) < 0
        OR conflicts > records OR (rejected > 0 AND coalesce(reason, '') = '')""")
    told = {tuple(row[:3]): row[3] for row in db.execute("""SELECT item_id, record_kind, row_table, sum(records - conflicts)
        FROM ledger GROUP BY 1, 2, 3""") if row[1] in RECORDS}
    excused = {row[0] for row in db.execute("SELECT id FROM item WHERE status IN ('partial', 'failed')")}
    for table in RECORDS:
        for item, row_table, count in db.execute(f"SELECT item_id, row_table, count(*) FROM {table} {'WHERE implied = 0' * (table == 'thread')} GROUP BY 1, 2"):
            if told.pop((item, table, row_table), 0 if item not in excused else count) != count:
                raise Wrong(f"ledger: item {item.hex()} has {count} {table} rows of {row_table}, not what the ledger counts")
    for (item, table, row_table), count in told.items():
        if count:
            raise Wrong(f"ledger: item {item.hex()} has no {table} rows of {row_table}, the ledger counts {count}")
    for table, columns in tables.items():
        for column in set(columns) & set(TARGETS):
            absent = " AND ".join(f"NOT EXISTS (SELECT 1 FROM {t} AS t WHERE t.id = s.{column})" for t in TARGETS[column])
            none(f"reference: table {table} column {column} row", f"SELECT id FROM {table} AS s WHERE {column} IS NOT NULL AND {absent}")

def verify(path):
    db = sqlite3.connect(pathlib.Path(path).resolve().as_uri() + "?mode=ro&immutable=1", uri=True)
    pragma = lambda name: db.execute("PRAGMA " + name).fetchone()[0]
    if pragma("application_id") == 0x48415550:
        return verify_partial.check(db, pragma, SCHEMA, sys.modules[__name__])
    if (pragma("application_id"), pragma("user_version"), pragma("freelist_count")) != (0x4841554C, 1, 0):
        raise Wrong("form: no bundle of version 1")
    merged = db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'part'").fetchone()
    expected = [sql for file in [SCHEMA] + [SCHEMA.with_name("merged.sql")] * bool(merged) for sql in file.read_text().split(";\n") if sql]
    if sorted(expected) != sorted(sql or "" for sql, in db.execute("SELECT CASE WHEN (type, tbl_name) = ('table', name) THEN sql END FROM sqlite_schema")):
        raise Wrong("form: other tables than a bundle has")
    tables = {sql.split()[2]: [line.split()[0] for line in sql.split("\n")[1:-1]] for sql in sorted(expected)}
    anys = {(sql.split()[2], line.split()[0]) for sql in expected for line in sql.split("\n") if " ANY" in line}
    seed = db.execute("SELECT value FROM meta WHERE key = 'bundle_seed'").fetchone()
    if not seed or len(seed[0]) != 64 or set(seed[0]) - set("0123456789abcdef"):
        raise Wrong("seed: table meta row bundle_seed is missing or no seed")
    leaves = check_rows(db, tables, anys, bytes.fromhex(seed[0]))
    seals = db.execute("SELECT checkpoint, signature, signer FROM seal").fetchall()
    if len(seals) != 1:
        raise Wrong(f"seal: table seal: has {len(seals)} rows, not one")
    one = db.execute("SELECT case_label, number FROM exhibit").fetchone()
    unit = check_seal(*seals[0], leaves, verify_merged.check(db, tables, sys.modules[__name__]) if merged else one)
    check_rules(db, tables)
    return f"holds, {len(leaves)} rows, " + unit.replace("SHA256", "signed by SHA256")

if __name__ == "__main__":
    code = 0
    for bundle in sys.argv[1:]:
        try:
            words = verify(bundle)
        except (Wrong, sqlite3.Error, ValueError, TypeError, IndexError, OverflowError) as error:
            words, code = f"does not hold: {error}", 1
        print(f"{bundle}: {words}")
    sys.exit(code)
