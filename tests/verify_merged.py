"""The parts of a merged bundle, as docs/bundle-format.md section 8 says; used by verify.py."""
import hashlib, json

ORDER = ["checksum", "format", "context"]

def read_parts(db, v):
    """By exhibit: the parts of it, each with its meta, seed, seal and a list for its leaves."""
    parts = {}
    for id, exhibit, text, *seal in db.execute("SELECT id, exhibit_id, meta, checkpoint, signature, signer FROM part ORDER BY id"):
        meta = json.loads(text)
        texts = [b"bundle part"] + [(part or "").encode() for part in seal]
        derived = v.sha256(b"".join(len(part).to_bytes(8, "little") + part for part in texts))[:16]
        if id != derived or text.encode() != v.jcs(dict(sorted(meta.items()))) or len(meta.get("bundle_seed", "")) != 64:
            raise v.Wrong(f"part: table part row {id.hex()}: its id, meta or seed is not what it should be")
        parts.setdefault(exhibit, []).append((id, meta, bytes.fromhex(meta["bundle_seed"]), seal, []))
    return parts

def rows_of(db, table, columns):
    """Every row that a part has in a table, with the exhibit."""
    names = ", ".join("t." + column for column in columns)
    if table == "observable":
        names = names.replace("t.validity", "p.validity")
        sql = f"SELECT p.exhibit_id, {names} FROM part_observable AS p JOIN observable AS t ON t.id = p.observable_id ORDER BY p.id"
    else:
        exhibit = {"exhibit": "t.id", "custody": "NULL"}.get(table, "t.exhibit_id")
        sql = f"SELECT {exhibit}, {names} FROM {table} AS t ORDER BY t.{columns[0]}"
    for exhibit, *row in db.execute(sql):
        yield exhibit, row

def check_parts(db, tables, parts, v):
    counts = {}
    for table, columns in tables.items():
        if table in ("seal", "seal_tile", "part", "part_observable"):
            continue
        if table == "meta":  # each part has its own
            for id, meta, seed, seal, leaves in (part for of_exhibit in parts.values() for part in of_exhibit):
                leaves.extend(v.leaf(seed, table, columns, row) for row in sorted(meta.items()))
            continue
        for exhibit, row in rows_of(db, table, columns):
            counts[exhibit, table] = counts.get((exhibit, table), 0) + 1
            for id, meta, seed, seal, leaves in parts.get(exhibit, []):
                leaves.append(v.leaf(seed, table, columns, row))
    for exhibit, case, number in db.execute("SELECT id, case_label, number FROM exhibit"):
        if exhibit not in parts:
            raise v.Wrong(f"part: table exhibit row {exhibit.hex()}: no part tells where it comes from")
        for id, meta, seed, seal, leaves in parts[exhibit]:
            try:
                v.check_seal(*seal, leaves, (case, number))
            except v.Wrong as wrong:
                raise v.Wrong(f"part: table part row {id.hex()}: {wrong}")
            for table in tables:
                told, counted = meta.get(f"rows_{table}"), len(meta) if table == "meta" else counts.get((exhibit, table), 0)
                if told is not None and told != str(counted):
                    raise v.Wrong(f"part: table part row {id.hex()}: it has {counted} {table} rows, its meta says {told}")

def check(db, tables, v):
    """The names in the checkpoint of a merged bundle, if its parts are as they were sealed; v is the module verify."""
    strongest = {}
    for id, observable, exhibit, validity in db.execute("SELECT * FROM part_observable"):
        if id != observable + exhibit:
            raise v.Wrong(f"part: table part_observable row {id.hex()}: its id is not its observable's and exhibit's")
        strongest[observable] = min(strongest.get(observable, 9), ORDER.index(validity))
    for id, validity in db.execute("SELECT id, validity FROM observable"):
        if strongest.get(id) != ORDER.index(validity):
            raise v.Wrong(f"part: table observable row {id.hex()}: its validity is not the strongest of its parts'")
    parts = read_parts(db, v)
    check_parts(db, tables, parts, v)
    ids = sorted(part[0] for of_exhibit in parts.values() for part in of_exhibit)
    return "merged", str(len(ids)), hashlib.sha256(b"".join(ids)).hexdigest()
