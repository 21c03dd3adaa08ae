"""The part of verify.py that knows partial bundles: chosen rows, their shown fields, the digests of the hidden ones, and the
subtrees between them, as docs/bundle-format.md section 10 says."""
import base64, bisect, hashlib, json, re

def signed(base, what, text, signature, signer, use):
    if not re.fullmatch("ssh-ed25519 [A-Za-z0-9+/]{68}", signer):
        raise base.Wrong(f"{what}: its signer is no Ed25519 key")
    base.check_signature(text, signature, signer, use)
    return "SHA256:" + base64.b64encode(base.sha256(base64.b64decode(signer.split()[1]))).decode().rstrip("=")

def row_leaf(base, name, shown, hidden):
    fields = json.loads(shown)
    digests = [hidden[i:i + 32] for i in range(0, len(hidden), 32)]
    if len(hidden) % 32 or digests != sorted(digests):
        raise base.Wrong("its hidden digests are not whole or not in order")
    for column, (salt, value) in fields.items():
        if not re.fullmatch("[0-9a-f]{64}", salt) or type(value) not in (str, int):
            raise base.Wrong(f"field {column} is not a salt and a value")
        digests.append(base.sha256(b"\2" + bytes.fromhex(salt) + base.jcs([column, value])))
    if base.jcs(dict(sorted(fields.items()))) != shown.encode() or fields.get("table", (0, 0))[1] != name:
        raise base.Wrong(f"its fields are written in another form, or not of table {name}")
    return base.sha256(b"\0" + b"".join(sorted(digests)))

def root(base, first, size, leaves, nodes, starts):  # RFC 9162 2.1.1, from what is there; what was used is taken away
    if (first, size) in nodes:
        return nodes.pop((first, size))
    if size == 1 and first in leaves:
        return leaves.pop(first)
    if size <= 1 or bisect.bisect_left(starts, first) == bisect.bisect_left(starts, first + size):
        raise base.Wrong("row: the rows and subtrees do not make a whole tree")
    half = 1 << (size - 1).bit_length() - 1
    left = root(base, first, half, leaves, nodes, starts)
    return base.sha256(b"\1" + left + root(base, first + half, size - half, leaves, nodes, starts))

def check(db, pragma, schema, base):
    if (pragma("user_version"), pragma("freelist_count")) != (1, 0):
        raise base.Wrong("form: no partial bundle of version 1")
    tables = {sql.split()[2]: sql for file in (schema, schema.with_name("merged.sql")) for sql in file.read_text().split(";\n") if sql}
    columns = lambda sql: [line.split()[0] for line in sql.split("\n")[1:-1] if line.startswith("  ")]
    expected = sorted(sql for sql in next(p for p in (schema.parent / n for n in ("partial.sql", "../share/partial.sql")) if p.exists()).read_text().split(";\n") if sql)
    rows = db.execute("SELECT leaf, name, shown, hidden FROM row ORDER BY leaf").fetchall()
    for name in sorted({row[1] for row in rows}):
        if name not in tables:
            raise base.Wrong(f"form: there is no table {name}")
        shown = ", ".join(f"shown->>'$.{column}[1]' AS {column}" for column in columns(tables[name]))
        expected.append(f"CREATE VIEW {name} AS SELECT leaf, {shown} FROM row WHERE name = '{name}'")
    if sorted(expected) != sorted(sql or "" for sql, in db.execute("SELECT CASE WHEN tbl_name = name THEN sql END FROM sqlite_schema")):
        raise base.Wrong("form: other tables or views than a partial bundle has")
    leaves, digest = {}, hashlib.sha256()
    for leaf, name, shown, hidden in rows:
        try:
            leaves[leaf] = row_leaf(base, name, shown, hidden)
        except (base.Wrong, ValueError, TypeError, AttributeError) as error:
            raise base.Wrong(f"row {leaf}: {error}")
        digest.update(f"{leaf}\n{name}\n{shown}\n{hidden.hex()}\n".encode())
    seals, statements = (db.execute(f"SELECT * FROM {table}").fetchall() for table in ("seal", "statement"))
    if (len(seals), len(statements)) != (1, 1):
        raise base.Wrong("seal: not one seal and one statement")
    unit = signed(base, "seal", *seals[0], b"haul-bundle")
    origin, size, sealed, rest = seals[0][0].split("\n")
    if not origin.startswith("haul/" + unit.replace("+", "%2B").replace("/", "%2F") + "/") or rest or not re.fullmatch("[1-9][0-9]*", size):
        raise base.Wrong("seal: its checkpoint names another signer, or no size")
    nodes = {(first, count): hash for first, count, hash in db.execute("SELECT first, leaves, hash FROM node")}
    count, starts = len(leaves), sorted([*leaves, *(node[0] for node in nodes)])
    found = root(base, 0, int(size), leaves, nodes, starts)
    if leaves or nodes or base64.b64encode(found).decode() != sealed:
        raise base.Wrong("row: the rows and subtrees do not give the root that was sealed")
    sharer = signed(base, "statement", *statements[0], b"haul-share")
    members = json.loads(statements[0][0])
    told = {"checkpoint_sha256": base.sha256(seals[0][0].encode()).hex(), "format": "haul partial bundle 1", "rows": str(count),
            "rows_sha256": digest.hexdigest(), "sharer": sharer}
    for name, value in told.items():
        if members.get(name) != value:
            raise base.Wrong(f"statement: its {name} is not that of the rows here")
    return f"holds, {count} of {size} rows, sealed by {unit}, shared by {sharer}: {members['handling']}, keep until {members['retain_until']}"
