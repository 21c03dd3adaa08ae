"""Checks exports against the bundle they were made from, as a receiver would: exports.py FORMAT EXPORT [BUNDLE]; exit 0 if right.

csv, jsonl and stop-payment with Python's standard library alone; misp with PyMISP's own data (schema, categories, templates).
"""
import csv
import json
import os
import sqlite3
import sys


def rows(bundle, table):
    """Rows of a table as dictionaries: blobs in hexadecimal, NULLs left out."""
    cursor = bundle.execute(f"SELECT * FROM {table} ORDER BY 1")
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield {n: v.hex() if isinstance(v, bytes) else v for n, v in zip(names, row) if v is not None}


def tables(bundle):
    names = [name for (name,) in bundle.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]
    return [name for name in names if name not in ("seal", "seal_tile", "secret")]


def check_csv(export, bundle):
    csv.field_size_limit(1 << 30)
    expected = {f"{table}.csv" for table in tables(bundle)} | {"origin.json"}
    assert set(os.listdir(export)) == expected, set(os.listdir(export)) ^ expected
    for table in tables(bundle):
        with open(os.path.join(export, f"{table}.csv"), newline="", encoding="utf-8") as file:
            read = list(csv.DictReader(file))
        stored = list(rows(bundle, table))
        assert len(read) == len(stored), table
        for got, row in zip(read, stored):
            assert got == {name: str(row.get(name, "")) for name in got}, (table, got, row)


def check_jsonl(export, bundle):
    with open(export, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert "purpose" in lines[0]["origin"]
    stored = [{"table": table, **row} for table in tables(bundle) for row in rows(bundle, table)]
    big = lambda value: str(value) if isinstance(value, int) and abs(value) >= 1 << 53 else value
    assert lines[1:] == [{name: big(value) for name, value in row.items()} for row in stored]


def wallets(bundle, where=""):
    return {value for (value,) in bundle.execute(f"SELECT value FROM observable WHERE kind = 'wallet_address' {where}")}


def states(bundle):
    """For every wallet address: in what state the messages are whose texts have it."""
    found = {}
    for value, sighting, state in bundle.execute("""SELECT value, hex(sighting.id), message.state FROM observable
            JOIN sighting ON sighting.observable_id = observable.id JOIN message ON message.id = sighting.record_id
            WHERE kind = 'wallet_address'"""):
        found.setdefault(value, {})[sighting.lower()] = state
    assert "recovered" in {state for places in found.values() for state in places.values()}, "nothing was deleted"
    return found


def check_stix(export, bundle):
    objects = json.load(open(export, encoding="utf-8"))["objects"]
    ids = {item["id"] for item in objects}
    assert len(ids) == len(objects), "an object twice"
    assert {item["value"] for item in objects if item["type"] == "wallet-address"} == wallets(bundle)
    by_id = {item["id"]: item for item in objects}
    labels = {}
    for item in objects:
        for reference in item.get("object_refs", []):
            assert reference in ids, reference
            labels.setdefault(by_id[reference].get("value"), set()).update(item.get("labels", []))
    for value, places in states(bundle).items():
        assert labels[value] >= {f"seen-in-{state}" for state in places.values()}, value
        assert ("seen-in-recovered" in labels[value]) == ("recovered" in places.values()), value


def check_misp(export, bundle):
    import jsonschema
    import pymisp
    data = os.path.join(os.path.dirname(pymisp.__file__), "data")
    event = json.load(open(export, encoding="utf-8"))
    jsonschema.validate(event, json.load(open(os.path.join(data, "schema-lax.json"))))
    pymisp.MISPEvent().load_file(export)
    mappings = json.load(open(os.path.join(data, "describeTypes.json")))["result"]["category_type_mappings"]
    objects = event["Event"]["Object"]
    for attribute in event["Event"]["Attribute"] + [a for item in objects for a in item["Attribute"]]:
        assert attribute["type"] in mappings[attribute["category"]], attribute
    for item in objects:
        path = os.path.join(data, "misp-objects", "objects", item["name"], "definition.json")
        template = json.load(open(path))
        assert template["uuid"] == item["template_uuid"] and str(template["version"]) == item["template_version"], item["name"]
        relations = {attribute["object_relation"] for attribute in item["Attribute"]}
        for attribute in item["Attribute"]:
            assert template["attributes"][attribute["object_relation"]]["misp-attribute"] == attribute["type"], attribute
        one_of = template.get("requiredOneOf", [])
        assert not one_of or relations & set(one_of), item["name"]
        assert relations >= set(template.get("required", [])), item["name"]
    found = {}
    for item in objects:
        for attribute in item["Attribute"]:
            if item["name"] == "coin-address" and attribute["object_relation"].startswith("address"):
                found[attribute["value"]] = attribute["object_relation"]
    if bundle is None:
        return
    deleted = [text for (text,) in bundle.execute("""SELECT DISTINCT text FROM message JOIN sighting ON record_id = message.id
        WHERE state = 'recovered'""")]
    told = [attribute["value"] for item in objects if item["comment"].startswith("recovered:") for attribute in item["Attribute"]
            if attribute["object_relation"] == "body"]
    assert sorted(set(deleted)) == sorted(set(told)), (deleted, told)
    comments = {attribute["value"]: item["comment"] for item in objects for attribute in item["Attribute"] if item["name"] == "coin-address"}
    for value, places in states(bundle).items():
        assert all(f"{state} " in comments[value] for state in places.values()), comments[value]
    for value, chain in bundle.execute("SELECT value, chain FROM observable WHERE kind = 'wallet_address'"):
        expected = {"bitcoin": "address", "monero": "address-xmr"}.get((chain or "").split(",")[0], "address-crypto")
        assert found.pop(value) == expected, (value, chain)
    assert not found


def check_stop_payment(export, bundle):
    packet = json.load(open(export, encoding="utf-8"))
    assert {wallet["address"] for wallet in packet["send"]} == wallets(bundle, "AND validity <> 'context'")
    assert {wallet["address"] for wallet in packet["do_not_send_without_review"]} == wallets(bundle, "AND validity = 'context'")
    places = sum(len(wallet["places"]) for part in ("send", "do_not_send_without_review") for wallet in packet[part])
    counted = "SELECT count(*) FROM sighting JOIN observable ON observable.id = observable_id WHERE kind = 'wallet_address'"
    assert places == bundle.execute(counted).fetchone()[0]
    known = states(bundle)
    for wallet in packet["send"] + packet["do_not_send_without_review"]:
        told = {place["sighting"]: place["record_state"] for place in wallet["places"] if place["message"]}
        assert told == known.get(wallet["address"], {}), wallet["address"]
        assert ("recovered" in wallet["record_states"]) == ("recovered" in told.values()), wallet["address"]


if __name__ == "__main__":
    opened = sqlite3.connect(f"file:{sys.argv[3]}?mode=ro&immutable=1", uri=True) if len(sys.argv) > 3 else None
    globals()["check_" + sys.argv[1].replace("-", "_")](sys.argv[2], opened)
